-- What retention takes away, and legal holds that keep it. The release role calls these: whoever deletes says
-- who it is and by which rule, and nothing that consumers see, that a person decides on or that is held goes.

CREATE OR REPLACE FUNCTION {store}.refuse_unsaid(who text, why text, what text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF {store}.is_blank(who) OR {store}.is_blank(why) THEN
    PERFORM {store}.refuse('RS000', format('the %s does not say who wants it, or why', what),
      '{"expected": "a name and a reason"}', 'give both; they are kept for ever');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.is_withdrawn(sha256 text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM {store}.deletion d WHERE d.what = 'package' AND d.subject = $1)
$$;

-- Notes that a folder of one machine is gone. Frozen tables and rows are noted by what follows.
CREATE OR REPLACE FUNCTION {store}.note_deletion(of_model text, what text, subject text, rows bigint,
  bytes bigint, rule text, done_by text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  IF what IS NULL OR what NOT IN ('cached file', 'environment') OR coalesce(subject, '') !~ '^/' THEN
    PERFORM {store}.refuse('RS000', format('%L %L is no folder', what, subject),
      '{"expected": "cached file or environment, and an absolute path"}', NULL);
  END IF;
  INSERT INTO {store}.deletion (model, what, subject, rows, bytes, rule, done_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7);
END $$;

-- The snapshots by which the archive's table of this digest is known; of one that lost rows to an erasure the
-- file has the digest of what remains.
CREATE OR REPLACE FUNCTION {store}.names_of(digest text)
RETURNS SETOF {store}.snapshot LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH known AS (SELECT $1 AS name UNION
    SELECT t.subject FROM {store}.tombstone t WHERE t.what = 'frozen' AND t.remaining = $1)
  SELECT s.* FROM {store}.snapshot s WHERE s.snapshot_id IN (
    SELECT d.snapshot_id FROM known JOIN {store}.snapshot d ON d.digest = name
    UNION ALL SELECT d.snapshot_id FROM known JOIN {store}.snapshot d ON d.details->>'unlabelled_digest' = name)
$$;

CREATE OR REPLACE FUNCTION {store}.refuse_held(of_model text, of_start timestamptz, of_end timestamptz,
  kept text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hold bigint;
BEGIN
  SELECT h.hold_id INTO hold FROM {store}.legal_hold h WHERE (h.model IS NULL OR h.model = of_model)
    AND (h.interval_start IS NULL OR (h.interval_start < of_end AND of_start < h.interval_end))
    AND NOT EXISTS (SELECT FROM {store}.hold_lifted l WHERE l.hold_id = h.hold_id) LIMIT 1;
  IF FOUND THEN
    PERFORM {store}.refuse('RS009', format('legal hold %s keeps %s', hold, kept),
      jsonb_build_object('where', of_model || ' ' || {store}.interval_text(of_start, of_end)),
      '`rescore retention holds` says who placed it, and why');
  END IF;
END $$;

-- Notes that a frozen table is deleted, and refuses if a legal hold covers it or it was used after last_used.
-- The caller deletes its files in the same transaction: until its end nobody places a hold, freezes the same
-- rows or begins an attempt at a run with them.
CREATE OR REPLACE FUNCTION {store}.note_table_deletion(of_model text, what text, digest text, rows bigint,
  bytes bigint, last_used timestamptz, rule text, done_by text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  used timestamptz;
  needed_by text;
  named {store}.snapshot;
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  IF what IS NULL OR what NOT IN ('frozen input', 'training snapshot')
      OR coalesce(digest, '') !~ '^sha256:[0-9a-f]{64}$' OR last_used IS NULL THEN
    PERFORM {store}.refuse('RS000', format('%L %L is no frozen table', what, digest),
      '{"expected": "frozen input or training snapshot, its digest, and when it was used last"}', NULL);
  END IF;
  PERFORM {store}.lock_name('holds');
  PERFORM {store}.lock_name('frozen ' || digest);
  FOR named IN SELECT * FROM {store}.names_of($3) LOOP
    PERFORM {store}.refuse_held(named.model, named.interval_start, named.interval_end, 'frozen table ' || digest);
  END LOOP;
  -- A package may have been pinned back since the caller looked: those after the pinned one may still be pinned.
  SELECT p.model || ' ' || p.version INTO needed_by FROM {store}.package p WHERE
    p.manifest->'lineage'->>'snapshot_digest' IN (SELECT s.digest FROM {store}.names_of($3) s)
    AND p.created_at >= coalesce((SELECT pinned.created_at FROM {store}.pin n
      JOIN {store}.package pinned ON pinned.model = n.model AND pinned.sha256 = n.sha256
      WHERE n.model = p.model ORDER BY n.pin_id DESC LIMIT 1), '-infinity') LIMIT 1;
  IF FOUND THEN
    PERFORM {store}.refuse('RS009', format('frozen table %s is what package %s was trained on', digest, needed_by),
      jsonb_build_object('where', of_model, 'expected', 'a table of no package that scores or may still be pinned'), NULL);
  END IF;
  SELECT max(moments.at) INTO used FROM (
    SELECT s.created_at AS at FROM {store}.names_of($3) s
    UNION ALL SELECT f.at FROM {store}.names_of($3) s JOIN {store}.frozen_again f ON f.snapshot_id = s.snapshot_id
    UNION ALL SELECT a.at FROM {store}.run r JOIN {store}.attempt a ON a.run_id = r.run_id
      WHERE r.input_digest IN (SELECT s.digest FROM {store}.names_of($3) s)
    UNION ALL SELECT greatest(d.begun_at, d.done_at) FROM {store}.run r JOIN {store}.shard d ON d.run_id = r.run_id
      WHERE r.input_digest IN (SELECT s.digest FROM {store}.names_of($3) s)) moments;
  IF used > last_used THEN
    PERFORM {store}.refuse('RS009', format('frozen table %s was used again', digest),
      jsonb_build_object('where', of_model, 'expected', format('no use after %s+00:00', {store}.moment_text(last_used)),
        'examples', ARRAY[format('used at %s+00:00', {store}.moment_text(used))]), NULL);
  END IF;
  INSERT INTO {store}.deletion (model, what, subject, rows, bytes, rule, done_by)
    VALUES ($1, $2, $3, $4, $5, $7, $8);
END $$;

-- Forgets the keys of a run's scores that no other run has a score of. The caller deletes the scores next.
CREATE OR REPLACE FUNCTION {store}.forget_keys(of_run uuid, of_model text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A publication under way ends first, and the statement sees its scores; each that follows remembers its keys.
  PERFORM {store}.lock_name('keys ' || of_model);
  EXECUTE format('DELETE FROM {store}.%1$I k USING (SELECT DISTINCT %3$s FROM {store}.%2$I s WHERE s.run_id = $1) g'
    ' WHERE (%4$s) = (%5$s)'
    ' AND NOT EXISTS (SELECT FROM {store}.%2$I s WHERE (%3$s) = (%4$s) AND s.run_id <> $1)',
    'keys_' || of_model, 'scores_' || of_model, {store}.key_list(of_model, 's.'),
    {store}.key_list(of_model, 'k.'), {store}.key_list(of_model, 'g.')) USING of_run;
END $$;

-- Deletes the scores of a run and its rows without one, and notes it; gives how many. A run that never ended
-- fails first, so that whoever still works on it can't publish it; one that made progress, or was tried again,
-- after last_progress is refused (NULL: whenever).
CREATE OR REPLACE FUNCTION {store}.delete_rows(of_run uuid, last_progress timestamptz, rule text, done_by text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(of_run);
  target text;
  gone bigint;
  deleted bigint := 0;
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  -- What may be held first, as whoever deletes more than one; then in the order in which a publication locks them.
  PERFORM {store}.lock_name('holds');
  PERFORM 1 FROM {store}.claim WHERE model = r.model
    AND interval_start = r.interval_start AND interval_end = r.interval_end FOR UPDATE;
  PERFORM 1 FROM {store}.run WHERE run_id = of_run FOR NO KEY UPDATE;
  r := {store}.the_run(of_run);
  IF EXISTS (SELECT FROM {store}.current_publication WHERE run_id = of_run)
      OR (r.state = 'checked' AND r.error IS NOT NULL
        AND EXISTS (SELECT FROM {store}.claim c WHERE c.run_id = of_run)) THEN
    -- One that waits for a person does so until another run takes its interval over: then nobody can release it.
    PERFORM {store}.refuse('RS009',
      format('the rows of run %s are needed: it is published or waits for a person', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that was superseded or abandoned'), NULL);
  END IF;
  PERFORM {store}.refuse_held(r.model, r.interval_start, r.interval_end, format('the rows of run %s', of_run));
  IF last_progress < greatest((SELECT max(e.at) FROM {store}.run_state e WHERE e.run_id = of_run),
      (SELECT max(a.at) FROM {store}.attempt a WHERE a.run_id = of_run),
      (SELECT max(greatest(d.begun_at, d.done_at)) FROM {store}.shard d WHERE d.run_id = of_run)) THEN
    PERFORM {store}.refuse('RS009', format('run %s goes on', of_run),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('a run without progress since %s+00:00', {store}.moment_text(last_progress))), NULL);
  END IF;
  IF r.state IN ('claimed', 'extracted', 'validated', 'scored', 'checked') THEN
    UPDATE {store}.run SET error = jsonb_build_object('type', '', 'message', 'abandoned: ' || rule, 'data', '{}'::jsonb)
      WHERE run_id = of_run;
    PERFORM {store}.enter_state(of_run, 'failed');
  END IF;
  IF EXISTS (SELECT FROM {store}.model WHERE name = r.model) THEN
    PERFORM {store}.forget_keys(of_run, r.model);
    FOREACH target IN ARRAY ARRAY['scores_' || r.model, 'excluded_' || r.model] LOOP
      EXECUTE format('DELETE FROM {store}.%I WHERE run_id = $1', target) USING of_run;
      GET DIAGNOSTICS gone = ROW_COUNT;
      deleted := deleted + gone;
    END LOOP;
    PERFORM {store}.drop_staged(r.model);
  END IF;
  INSERT INTO {store}.deletion (model, what, subject, rows, rule, done_by) VALUES (r.model,
    CASE r.state WHEN 'published' THEN 'scores' ELSE 'staged rows' END, of_run::text, deleted, rule, done_by);
  RETURN deleted;
END $$;

-- Makes the partition that a model's scores of the next month need, and drops those that ended a month ago and
-- hold no score any more; gives the names of these. Whoever stages scores of the model comes first.
CREATE OR REPLACE FUNCTION {store}.tend_partitions(of_model text)
RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  parent text := 'scores_' || of_model;
  partition text;
  empty boolean;
  dropped text[] := '{}';
BEGIN
  IF NOT EXISTS (SELECT FROM {store}.model WHERE name = of_model) THEN
    RETURN dropped;
  END IF;
  PERFORM {store}.ensure_partition(of_model, (clock_timestamp() + interval '1 month')::date);
  FOR partition IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      JOIN pg_class p ON p.oid = i.inhparent
      WHERE p.relname = parent AND p.relnamespace = '{store_text}'::regnamespace
        AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']*)''\)')::timestamptz
          < clock_timestamp() - interval '1 month'
      ORDER BY 1 LOOP
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM {store}.%I)', partition) INTO empty;
    CONTINUE WHEN NOT empty;
    -- Only now: nobody waits for a lock, or behind one, for a partition that stays.
    PERFORM pg_advisory_xact_lock(hashtextextended(format('rescore partition %s.%s', '{store_text}', of_model), 0));
    EXECUTE format('LOCK TABLE {store}.%I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM {store}.%I)', partition) INTO empty;
    IF empty AND NOT EXISTS (SELECT FROM {store}.staging s JOIN {store}.run r ON r.run_id = s.run_id
        WHERE r.model = of_model) THEN
      EXECUTE format('DROP TABLE {store}.%I', partition);
      dropped := dropped || partition;
    END IF;
  END LOOP;
  RETURN dropped;
END $$;

-- Notes that a package's file is deleted; from then on it can't be pinned. The caller deletes the file in the same
-- transaction. What a package was trained on may be held; one that is pinned scores.
CREATE OR REPLACE FUNCTION {store}.withdraw_package(of_model text, of_version text, bytes bigint, rule text,
  done_by text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p {store}.package;
  named {store}.snapshot;
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'withdrawal');
  SELECT * INTO p FROM {store}.package k WHERE k.model = of_model AND k.version = of_version;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS004', format('%s has no package %s', of_model, of_version),
      '{"where": "{store_text}.package"}', format('`rescore packages list %s`', of_model));
  END IF;
  PERFORM {store}.lock_name('holds');
  PERFORM {store}.lock_name('pin ' || of_model);
  FOR named IN SELECT s.* FROM unnest(ARRAY[p.manifest->'lineage'->>'snapshot_digest',
      p.manifest->'lineage'->'snapshot'->>'unlabelled_digest']) digest, {store}.names_of(digest) s LOOP
    PERFORM {store}.refuse_held(named.model, named.interval_start, named.interval_end,
      format('package %s %s, which was trained on it', of_model, of_version));
  END LOOP;
  IF p.sha256 = (SELECT n.sha256 FROM {store}.pin n WHERE n.model = of_model ORDER BY n.pin_id DESC LIMIT 1) THEN
    PERFORM {store}.refuse('RS009', format('%s %s is pinned: it scores', of_model, of_version),
      jsonb_build_object('where', of_model, 'expected', 'a package that is not the pinned one'),
      'pin another one first');
  END IF;
  IF NOT {store}.is_withdrawn(p.sha256) THEN
    INSERT INTO {store}.deletion (model, what, subject, bytes, rule, done_by)
      VALUES (of_model, 'package', p.sha256, $3, $4, $5);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.place_hold(of_model text, interval_start timestamptz,
  interval_end timestamptz, placed_by text, reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM {store}.refuse_unsaid(placed_by, reason, 'legal hold');
  -- A deletion that is under way ends first; each that follows sees the hold.
  PERFORM {store}.lock_name('holds');
  INSERT INTO {store}.legal_hold (model, interval_start, interval_end, placed_by, reason)
    VALUES ($1, $2, $3, $4, $5) RETURNING hold_id INTO id;
  RETURN id;
END $$;

CREATE OR REPLACE FUNCTION {store}.lift_hold(id bigint, lifted_by text, reason text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.refuse_unsaid(lifted_by, reason, 'lifting of a legal hold');
  PERFORM {store}.lock_name('lift hold');
  IF NOT EXISTS (SELECT FROM {store}.legal_hold h WHERE h.hold_id = id)
      OR EXISTS (SELECT FROM {store}.hold_lifted l WHERE l.hold_id = id) THEN
    PERFORM {store}.refuse('RS004', format('there is no legal hold %s to lift', id),
      jsonb_build_object('where', '{store_text}.legal_hold', 'expected', 'a hold that holds'),
      '`rescore retention holds` lists them');
  END IF;
  INSERT INTO {store}.hold_lifted (hold_id, lifted_by, reason) VALUES ($1, $2, $3);
END $$;
