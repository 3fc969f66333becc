-- Claiming an interval, and beginning attempts: who may change what, by a fence that only grows.
-- Lock order: the model's claims (advisory), the claim, the run.

CREATE OR REPLACE FUNCTION {store}.lock_name(name text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('rescore ' || name || ' {store_text}', 0))
$$;

-- The same beside others who hold it so: only who takes it alone waits for them.
CREATE OR REPLACE FUNCTION {store}.lock_name_shared(name text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock_shared(hashtextextended('rescore ' || name || ' {store_text}', 0))
$$;

CREATE OR REPLACE FUNCTION {store}.where_is(r {store}.run)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.model || ' ' || {store}.interval_text(r.interval_start, r.interval_end)
$$;

CREATE OR REPLACE FUNCTION {store}.the_run(wanted uuid)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  SELECT * INTO r FROM {store}.run WHERE run_id = wanted;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS004', 'there is no run ' || coalesce(wanted::text, 'NULL'),
      '{"expected": "the UUID of a run"}', '`rescore runs MODEL` lists them');
  END IF;
  RETURN r;
END $$;

-- Whether retention deleted the run's scores and rows without one.
CREATE OR REPLACE FUNCTION {store}.rows_deleted(of_run uuid)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM {store}.deletion d
    WHERE d.subject = of_run::text AND d.what IN ('scores', 'staged rows'))
$$;

CREATE OR REPLACE FUNCTION {store}.enter_state(of_run uuid, entered text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO {store}.run_state (run_id, position, state)
    SELECT of_run, coalesce(max(position), 0) + 1, entered FROM {store}.run_state WHERE run_id = of_run;
  UPDATE {store}.run SET state = entered WHERE run_id = of_run;
END $$;

-- Refuses an attempt at a run if a later one has begun, or another run has claimed the interval. The caller
-- holds the lock of the run's row, so that no later attempt at the run can begin meanwhile.
CREATE OR REPLACE FUNCTION {store}.refuse_stale(r {store}.run, held bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c {store}.claim;
BEGIN
  SELECT * INTO STRICT c FROM {store}.claim WHERE model = r.model
    AND interval_start = r.interval_start AND interval_end = r.interval_end;
  IF held IS DISTINCT FROM c.fence THEN
    PERFORM {store}.refuse('RS001',
      format('this attempt at run %s holds fence %s, but %s', r.run_id, held, CASE WHEN c.run_id = r.run_id
        THEN 'a later attempt at it began' ELSE format('run %s claimed later', c.run_id) END),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('fence %s, claimed at %s+00:00', c.fence, {store}.moment_text(c.claimed_at)),
        'data', jsonb_build_object('run_id', r.run_id, 'fence', held,
          'current_run_id', c.run_id, 'current_fence', c.fence)),
      'let the later one finish; this one changes and publishes nothing');
  END IF;
END $$;

-- Refuses to fork a run whose interval another run took over, unless that one descends from it: a retry goes on
-- where its own fork is, and never brings an older frozen input back over a newer one. One that ended before it
-- froze anything, or that an earlier try of the same DAG run claimed late, stands in nobody's way. The caller has
-- the claim.
CREATE OR REPLACE FUNCTION {store}.refuse_superseded(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c {store}.claim;
  later {store}.run;
BEGIN
  SELECT * INTO STRICT c FROM {store}.claim WHERE model = r.model
    AND interval_start = r.interval_start AND interval_end = r.interval_end;
  later := {store}.the_run(c.run_id);
  IF later.input_digest IS NULL AND (later.state <> 'claimed'
      OR later.airflow->>'run_id' = r.airflow->>'run_id' AND later.airflow->>'dag_id' = r.airflow->>'dag_id') THEN
    RETURN;
  END IF;
  IF NOT EXISTS (WITH RECURSIVE line AS (SELECT c.run_id UNION
      SELECT f.forked_from FROM {store}.run f JOIN line ON f.run_id = line.run_id)
      SELECT FROM line WHERE line.run_id = r.run_id) THEN
    PERFORM {store}.refuse('RS001',
      format('run %s can''t be tried again: run %s claimed its interval later', r.run_id, c.run_id),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'a run whose interval nobody took over, but for its own forks',
        'data', jsonb_build_object('run_id', r.run_id, 'fence', r.fence,
          'current_run_id', c.run_id, 'current_fence', c.fence)),
      'what the later one scored stays; to score the interval again, freeze it anew (in Airflow clear the run '
        'from `extract` on)');
  END IF;
END $$;

-- Takes the fence of other intervals that overlap; refuses if consumers see one of them.
CREATE OR REPLACE FUNCTION {store}.take_over_overlapping(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  others tstzrange[];
  seen text[];
  ends timestamptz;
BEGIN
  PERFORM 1 FROM {store}.claim WHERE model = r.model
    AND interval_start < r.interval_end AND interval_end > r.interval_start
    AND (interval_start, interval_end) <> (r.interval_start, r.interval_end)
    ORDER BY interval_start, interval_end FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT array_agg({store}.interval_text(p.interval_start, p.interval_end) ORDER BY p.interval_end),
      max(p.interval_end) INTO seen, ends
    FROM (SELECT DISTINCT interval_start, interval_end FROM {store}.publication WHERE model = r.model
      AND interval_start < r.interval_end AND interval_end > r.interval_start
      AND (interval_start, interval_end) <> (r.interval_start, r.interval_end)) p;
  IF seen IS NOT NULL THEN
    PERFORM {store}.refuse('RS002',
      format('%s overlaps %s, which is published under another schedule',
        {store}.where_is(r), seen[cardinality(seen)]),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'intervals that share no moment, so that consumers never see a key twice',
        'examples', seen),
      format('let the first run be due at %s+00:00 or later (schedule.start), so that its interval begins '
        'where the published ones end; to score %s again, use the schedule that it was published under',
        {store}.moment_text(ends + (r.interval_end - r.interval_start)), seen[cardinality(seen)]));
  END IF;
  UPDATE {store}.claim SET fence = fence + 1, run_id = r.run_id, claimed_at = clock_timestamp()
    WHERE model = r.model AND interval_start < r.interval_end AND interval_end > r.interval_start
      AND (interval_start, interval_end) <> (r.interval_start, r.interval_end);
END $$;

-- Ends the open runs whose interval a run took over; a held one stays, since a person looks at it. A run
-- that another transaction has locked is left to the next that takes over.
CREATE OR REPLACE FUNCTION {store}.close_abandoned(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  abandoned uuid;
BEGIN
  FOR abandoned IN SELECT run_id FROM {store}.run WHERE model = r.model
      AND interval_start < r.interval_end AND interval_end > r.interval_start
      AND state IN ('claimed', 'extracted', 'validated', 'scored', 'checked') AND error IS NULL
      AND run_id <> r.run_id FOR NO KEY UPDATE SKIP LOCKED LOOP
    UPDATE {store}.run SET error = jsonb_build_object('type', '',
        'message', format('abandoned: run %s took its interval over', r.run_id),
        'data', jsonb_build_object('taken_over_by', r.run_id)) WHERE run_id = abandoned;
    PERFORM {store}.enter_state(abandoned, 'failed');
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION {store}.note_attempt(r {store}.run, begun_in text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  -- Retention deletes no table that an attempt has begun to use, and an erasure knows of the attempt.
  SELECT {store}.lock_name_shared('frozen ' || r.input_digest);
  INSERT INTO {store}.attempt (model, interval_start, interval_end, fence, run_id, begun_in)
    VALUES (r.model, r.interval_start, r.interval_end, r.fence, r.run_id, begun_in)
$$;

-- An id that begins with the moment (version 7 of RFC 9562): a run's rows go to the end of the index that begins
-- with it, where ids by chance would put them into its middle.
CREATE OR REPLACE FUNCTION {store}.new_run_id()
RETURNS uuid LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$;

-- Begins a run of what the given row says, with the next fence of its interval.
CREATE OR REPLACE FUNCTION {store}.begin_run(r {store}.run, in_state text)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  entered text;
BEGIN
  r.run_id := {store}.new_run_id();
  r.state := 'claimed';
  r.rows_quarantined := coalesce(r.rows_quarantined, 0);
  r.rows_rejected := coalesce(r.rows_rejected, 0);
  PERFORM {store}.lock_name('claim ' || r.model);
  PERFORM {store}.refuse_retired(r.model);
  PERFORM {store}.take_over_overlapping(r);
  INSERT INTO {store}.claim AS c (model, interval_start, interval_end, fence, run_id)
    VALUES (r.model, r.interval_start, r.interval_end, 1, r.run_id)
    ON CONFLICT (model, interval_start, interval_end) DO UPDATE
      SET fence = c.fence + 1, run_id = excluded.run_id, claimed_at = clock_timestamp()
    RETURNING c.fence INTO r.fence;
  r.claimed_at := clock_timestamp();
  INSERT INTO {store}.run SELECT r.*;
  PERFORM {store}.note_attempt(r, in_state);
  FOREACH entered IN ARRAY ARRAY['claimed', 'extracted', 'validated'] LOOP
    PERFORM {store}.enter_state(r.run_id, entered);
    EXIT WHEN entered = in_state;
  END LOOP;
  PERFORM {store}.close_abandoned(r);
  RETURN r;
END $$;

CREATE OR REPLACE FUNCTION {store}.inherit_validation(origin uuid, heir {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  excluded text := 'excluded_' || heir.model;
  names text;
BEGIN
  INSERT INTO {store}.validation (run_id, success, report)
    SELECT heir.run_id, success, report FROM {store}.validation WHERE run_id = origin;
  SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) INTO names
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relname = excluded AND c.relnamespace = '{store_text}'::regnamespace
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'run_id';
  IF names IS NOT NULL THEN
    EXECUTE format('INSERT INTO {store}.%1$I (run_id, %2$s) SELECT $1, %2$s FROM {store}.%1$I WHERE run_id = $2',
      excluded, names) USING heir.run_id, origin;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.fork_run(origin {store}.run, until text, by jsonb)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
  passed boolean;
BEGIN
  SELECT success AND until = 'validated' INTO passed FROM {store}.validation WHERE run_id = origin.run_id;
  r.model := origin.model;
  r.interval_start := origin.interval_start;
  r.interval_end := origin.interval_end;
  r.as_of := origin.as_of;
  r.input_digest := origin.input_digest;
  r.input_uri := origin.input_uri;
  r.query_sha256 := origin.query_sha256;
  r.rows_extracted := origin.rows_extracted;
  r.code_revision := origin.code_revision;
  r.environment := origin.environment;
  r.airflow := coalesce(by, origin.airflow);
  r.forked_from := origin.run_id;
  IF origin.input_digest IS NULL THEN
    RETURN {store}.begin_run(r, 'claimed');
  ELSIF NOT coalesce(passed, false) OR {store}.rows_deleted(origin.run_id) THEN
    -- Which rows were set aside may have gone with its rows: they are validated again.
    RETURN {store}.begin_run(r, 'extracted');
  END IF;
  r.rows_quarantined := origin.rows_quarantined;
  r.rows_rejected := origin.rows_rejected;
  r := {store}.begin_run(r, 'validated');
  PERFORM {store}.inherit_validation(origin.run_id, r);
  RETURN r;
END $$;

-- What runs call ----------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION {store}.claim(model text, interval_start timestamptz, interval_end timestamptz,
  as_of timestamptz, airflow jsonb, code_revision text, environment jsonb,
  OUT handle_run uuid, OUT handle_fence bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  r.model := model;
  r.interval_start := interval_start;
  r.interval_end := interval_end;
  r.as_of := as_of;
  r.airflow := airflow;
  r.code_revision := code_revision;
  r.environment := environment;
  r := {store}.begin_run(r, 'claimed');
  handle_run := r.run_id;
  handle_fence := r.fence;
END $$;

CREATE OR REPLACE FUNCTION {store}.fork(origin uuid, until text, airflow jsonb,
  OUT handle_run uuid, OUT handle_fence bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.fork_run({store}.the_run(origin), until, airflow);
BEGIN
  handle_run := r.run_id;
  handle_fence := r.fence;
END $$;

CREATE OR REPLACE FUNCTION {store}.resume(resumed uuid, in_state text,
  OUT handle_run uuid, OUT handle_fence bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(resumed);
  locked boolean;
BEGIN
  PERFORM {store}.lock_name('claim ' || r.model);
  PERFORM 1 FROM {store}.claim c WHERE c.model = r.model
    AND c.interval_start = r.interval_start AND c.interval_end = r.interval_end FOR UPDATE;
  IF in_state = 'scored' THEN
    -- Scores are not inherited: one that was taken over has no continuation.
    PERFORM 1 FROM {store}.run WHERE run_id = resumed FOR NO KEY UPDATE;
    r := {store}.the_run(resumed);
    PERFORM {store}.refuse_stale(r, r.fence);
  ELSE
    -- Rows under one run id have one writer, and a retry never waits for one that stalled in a write.
    PERFORM 1 FROM {store}.run WHERE run_id = resumed FOR NO KEY UPDATE SKIP LOCKED;
    locked := NOT FOUND;
    r := {store}.the_run(resumed);
  END IF;
  IF locked OR r.state <> in_state OR (in_state = 'validated' AND r.score_digest IS NOT NULL) THEN
    PERFORM {store}.refuse_superseded(r);
    r := {store}.fork_run(r, in_state, NULL);
  ELSE
    PERFORM {store}.refuse_stale(r, r.fence);
    UPDATE {store}.claim c SET fence = c.fence + 1, claimed_at = clock_timestamp() WHERE c.model = r.model
      AND c.interval_start = r.interval_start AND c.interval_end = r.interval_end
      RETURNING c.fence INTO r.fence;
    UPDATE {store}.run SET fence = r.fence WHERE run_id = r.run_id;
    PERFORM {store}.note_attempt(r, in_state);
  END IF;
  handle_run := r.run_id;
  handle_fence := r.fence;
END $$;
