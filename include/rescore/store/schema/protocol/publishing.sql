-- Publishing: what consumers see changes by one inserted row, or not at all.

CREATE OR REPLACE FUNCTION {store}.refuse_unready(r {store}.run, reason text, released boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  outage text;
BEGIN
  PERFORM {store}.refuse_missing_shards(r);
  IF r.state <> 'checked' AND NOT (r.state = 'stopped' AND released) THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s; it can''t be published', r.run_id, r.state),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'a run that is checked, or one that was stopped and a person who releases it',
        'data', jsonb_build_object('run_id', r.run_id, 'state', r.state)),
      'run the stages before publishing, or score the interval again');
  ELSIF r.state = 'checked' AND r.error IS NOT NULL AND NOT released THEN
    PERFORM {store}.refuse('RS005', format('run %s is held: %s', r.run_id, r.error->>'message'),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a person who releases it, and a reason',
        'data', jsonb_build_object('run_id', r.run_id)),
      format('`rescore publish %s --reason WHY`, or correct the source and score it again', r.run_id));
  ELSIF r.binding IS NULL OR r.rows_extracted IS NULL THEN
    PERFORM {store}.refuse('RS000', format('run %s has no scores to publish', r.run_id),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'staged scores, their package and the rows extracted'),
      'it was stopped before scoring; score the interval again');
  ELSIF {store}.rows_deleted(r.run_id)
      OR EXISTS (SELECT FROM {store}.tombstone t WHERE t.what = 'scores' AND t.subject = r.run_id::text) THEN
    -- The publisher read them back before it came here: these two are all that takes rows since.
    PERFORM {store}.refuse('RS000', format('rows of run %s were deleted or erased', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that has all its scores'),
      'score the interval again');
  END IF;
  SELECT sentence INTO outage FROM {store}.drift WHERE run_id = r.run_id AND verdict = 'outage';
  IF FOUND AND {store}.is_blank(reason) THEN
    PERFORM {store}.refuse('RS006', format('run %s is an outage: %s', r.run_id, outage),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a reason, to publish it all the same',
        'data', jsonb_build_object('run_id', r.run_id, 'verdict', 'outage')),
      'put right what the sentence names and score again, or publish with a reason');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.refuse_unaccounted(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  quarantined bigint := 0;
  rejected bigint := 0;
BEGIN
  EXECUTE format('SELECT count(*) FILTER (WHERE kind = ''quarantined''), count(*) FILTER (WHERE kind ='
    ' ''rejected'') FROM {store}.%I WHERE run_id = $1', 'excluded_' || r.model)
    INTO quarantined, rejected USING r.run_id;
  IF (quarantined, rejected) <> (r.rows_quarantined, r.rows_rejected)
      OR r.rows_extracted <> r.rows_scored + r.rows_quarantined + r.rows_rejected THEN
    PERFORM {store}.refuse('RS007', format('the rows of run %s do not add up', r.run_id),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'extracted = scored + quarantined + rejected, as counted',
        'examples', ARRAY['extracted ' || {store}.count_text(r.rows_extracted),
          'scored ' || {store}.count_text(r.rows_scored),
          format('quarantined %s (kept: %s)',
            {store}.count_text(r.rows_quarantined), {store}.count_text(quarantined)),
          format('rejected %s (kept: %s)', {store}.count_text(r.rows_rejected), {store}.count_text(rejected))],
        'data', jsonb_build_object('extracted', r.rows_extracted, 'scored', r.rows_scored,
          'quarantined', r.rows_quarantined, 'rejected', r.rows_rejected,
          'kept', jsonb_build_object('quarantined', quarantined, 'rejected', rejected))),
      'score the interval again; if it happens again, report it with this message');
  END IF;
END $$;

-- One digest over what made a run's scores and the scores themselves.
CREATE OR REPLACE FUNCTION {store}.binding_of(input_digest text, package_sha256 text, score_digest text,
  rows_scored bigint)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'sha256:' || encode(sha256(convert_to(concat_ws(E'\n', 'rescore binding 1', input_digest,
    package_sha256, score_digest, rows_scored::text), 'UTF8')), 'hex')
$$;

CREATE OR REPLACE FUNCTION {store}.refuse_unbound(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bound text := {store}.binding_of(r.input_digest, r.package_sha256, r.score_digest->>'root', r.rows_scored);
BEGIN
  IF bound IS DISTINCT FROM r.binding THEN
    PERFORM {store}.refuse('RS008',
      format('the scores of run %s are not bound to the input and package that it names', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', r.binding,
        'examples', ARRAY[format('got %s of %s, %s and %s', bound, r.input_digest, r.package_sha256,
          r.score_digest->>'root')],
        'data', jsonb_build_object('expected', r.binding, 'got', bound, 'run_id', r.run_id)),
      'find out who changed the run; then score the interval again');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.publish_run(of_run uuid, held bigint, why text, by text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(of_run);
BEGIN
  -- The claim before the run, as in claiming, so that the two never wait for each other. It stays locked
  -- until the end: else a successor could claim and publish in between.
  PERFORM 1 FROM {store}.claim WHERE model = r.model
    AND interval_start = r.interval_start AND interval_end = r.interval_end FOR UPDATE;
  PERFORM 1 FROM {store}.run WHERE run_id = of_run FOR NO KEY UPDATE;
  r := {store}.the_run(of_run);
  IF r.state = 'published' THEN
    RETURN;
  END IF;
  PERFORM {store}.refuse_stale(r, coalesce(held, r.fence));
  PERFORM {store}.refuse_unready(r, why, NOT {store}.is_blank(why) AND NOT {store}.is_blank(by));
  PERFORM {store}.refuse_unaccounted(r);
  PERFORM {store}.refuse_unbound(r);
  -- Its keys are remembered with it: none is forgotten meanwhile.
  PERFORM {store}.lock_name_shared('keys ' || r.model);
  -- Always after the interval's last publication, even if the clock was set back.
  INSERT INTO {store}.publication (run_id, model, interval_start, interval_end, fence, published_at, reason,
      released_by)
    SELECT r.run_id, r.model, r.interval_start, r.interval_end, r.fence,
      greatest(clock_timestamp(), max(p.published_at) + interval '1 microsecond'), why, by
    FROM {store}.publication p WHERE p.model = r.model
      AND p.interval_start = r.interval_start AND p.interval_end = r.interval_end;
  PERFORM {store}.enter_state(of_run, 'published');
END $$;

-- What runs call.
CREATE OR REPLACE FUNCTION {store}.publish(of_run uuid, held bigint, why text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT {store}.publish_run(of_run, held, why, NULL)
$$;

-- What people call: also publishes what is held or was stopped.
CREATE OR REPLACE FUNCTION {store}.release(of_run uuid, held bigint, why text, by text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT {store}.publish_run(of_run, held, why, by)
$$;
