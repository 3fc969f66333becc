-- Staging: an attempt's rows go to a table of their own, without key and index, that only its login may add
-- to; finishing takes that right back, checks what lies there, and makes it part of the model's scores.

-- Takes the right to add rows from whoever has it.
CREATE OR REPLACE FUNCTION {store}.close_staged(staged text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  writer oid;
BEGIN
  FOR writer IN SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
      WHERE c.oid = format('{store}.%I', staged)::regclass AND a.grantee <> c.relowner LOOP
    EXECUTE format('REVOKE ALL ON {store}.%I FROM %I', staged, pg_get_userbyid(writer));
  END LOOP;
END $$;

-- Drops a staged table, once nobody uses it any more.
CREATE OR REPLACE FUNCTION {store}.remove_staged(staged text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('DROP TABLE {store}.%I', staged);
  DELETE FROM {store}.staging WHERE table_name = staged;
END $$;

-- Drops a table of an attempt that can finish no more; one that somebody still writes to takes no new writer, and
-- is left for later.
CREATE OR REPLACE FUNCTION {store}.discard_staged(staged text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('LOCK TABLE {store}.%I IN ACCESS EXCLUSIVE MODE NOWAIT', staged);
  PERFORM {store}.remove_staged(staged);
EXCEPTION WHEN lock_not_available THEN
  PERFORM {store}.close_staged(staged);
END $$;

-- The tables of a model's attempts that can finish no more.
CREATE OR REPLACE FUNCTION {store}.leftovers_of(of_model text)
RETURNS SETOF text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.table_name FROM {store}.staging s JOIN {store}.run r USING (run_id)
    JOIN {store}.claim c USING (model, interval_start, interval_end)
    WHERE r.model = of_model AND (c.run_id <> s.run_id OR c.fence <> s.fence OR r.binding IS NOT NULL
      OR r.state IN ('failed', 'stopped', 'published'))
$$;

-- Drops what attempts left that can finish no more; what somebody still uses is left for later.
CREATE OR REPLACE FUNCTION {store}.drop_staged(of_model text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  left_table text;
BEGIN
  FOR left_table IN SELECT s.table_name FROM {store}.staging s
      WHERE s.table_name IN (SELECT {store}.leftovers_of(of_model)) FOR UPDATE SKIP LOCKED LOOP
    PERFORM {store}.discard_staged(left_table);
  END LOOP;
END $$;

-- Drops all of it: an attempt that still writes is waited for, as long as the caller's lock_timeout allows.
CREATE OR REPLACE FUNCTION {store}.drop_all_staged(of_model text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  left_table text;
BEGIN
  FOR left_table IN SELECT s.table_name FROM {store}.staging s
      WHERE s.table_name IN (SELECT {store}.leftovers_of(of_model)) FOR UPDATE LOOP
    PERFORM {store}.close_staged(left_table);
    PERFORM {store}.remove_staged(left_table);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION {store}.refuse_other_scores(r {store}.run, bound text, got text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF r.binding IS DISTINCT FROM bound THEN
    PERFORM {store}.refuse('RS000', format('run %s has staged other scores already', r.run_id),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('%s by package %s', r.score_digest->>'root', r.package_sha256),
        'examples', ARRAY[got]), 'fork the run and stage the scores there');
  END IF;
END $$;

-- Refuses a run that no score can be staged for, makes its months, and drops what others left.
CREATE OR REPLACE FUNCTION {store}.prepare_staging(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  month date;
BEGIN
  IF r.input_digest IS NULL THEN
    PERFORM {store}.refuse('RS000',
      format('run %s has no frozen input that its scores could be made of', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that was extracted'),
      'freeze the rows first');
  ELSIF NOT EXISTS (SELECT FROM {store}.model WHERE name = r.model) THEN
    PERFORM {store}.refuse('RS004', format('model %L has no score table', r.model),
      jsonb_build_object('where', {store}.where_is(r)), 'make its tables as their owner: `rescore store register`');
  END IF;
  IF r.interval_end > r.interval_start + interval '240 months' THEN
    PERFORM {store}.refuse('RS000', format('the interval of run %s spans more than 240 months', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'an interval of the schedule'), NULL);
  END IF;
  PERFORM {store}.refuse_erased(r);
  FOR month IN SELECT generate_series(date_trunc('month', r.interval_start AT TIME ZONE 'UTC'),
      (r.interval_end - interval '1 microsecond') AT TIME ZONE 'UTC', interval '1 month')::date LOOP
    PERFORM {store}.ensure_partition(r.model, month);
  END LOOP;
  PERFORM {store}.drop_staged(r.model);
END $$;

-- Makes a table that the caller's login may add a run's rows to.
CREATE OR REPLACE FUNCTION {store}.make_staged(r {store}.run, staged text, of_shard integer)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('DROP TABLE IF EXISTS {store}.%I', staged);  -- this attempt begins to stage again
  -- Not in the log of the server: what a crash takes from it, finishing misses by its count.
  -- Nobody plans a query on it, and autovacuum would only stand in the way of who drops it.
  EXECUTE format('CREATE UNLOGGED TABLE {store}.%I (LIKE {store}.%I) WITH (autovacuum_enabled = false)', staged,
    'scores_' || r.model);
  EXECUTE format('ALTER TABLE {store}.%I ALTER run_id SET DEFAULT %L', staged, r.run_id);
  EXECUTE format('GRANT INSERT ON {store}.%I TO %I', staged, session_user);
  INSERT INTO {store}.staging (table_name, run_id, fence, shard) VALUES (staged, r.run_id, r.fence, of_shard)
    ON CONFLICT (table_name) DO UPDATE SET begun_at = clock_timestamp();
END $$;

-- Makes the attempt's table and gives its name; NULL if the run has scores: finishing says whether these.
CREATE OR REPLACE FUNCTION {store}.stage_begin(of_run uuid, held bigint)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
  staged text := format('staged_%s_%s', replace(of_run::text, '-', ''), held);
BEGIN
  IF r.binding IS NOT NULL THEN
    RETURN NULL;
  END IF;
  PERFORM {store}.prepare_staging(r);
  DELETE FROM {store}.shard WHERE run_id = of_run;  -- an earlier attempt planned them; this one stages in one piece
  PERFORM {store}.make_staged(r, staged, NULL);
  RETURN staged;
END $$;

-- Makes the rows of a staged table part of the model's scores; the table goes.
CREATE OR REPLACE FUNCTION {store}.move_staged(r {store}.run, staged text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('LOCK TABLE {store}.%I IN ACCESS EXCLUSIVE MODE', staged);
  EXECUTE format('INSERT INTO {store}.%I SELECT * FROM {store}.%I', 'scores_' || r.model, staged);
  PERFORM {store}.remove_staged(staged);
END $$;

-- Refuses rows of another run, outside the interval, or other in number than their digest says.
CREATE OR REPLACE FUNCTION {store}.refuse_unfit(r {store}.run, staged text, event_time text, rows bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found bigint;
  foreigners bigint;
  earliest timestamptz;
  latest timestamptz;
BEGIN
  EXECUTE format('SELECT count(*), count(*) FILTER (WHERE run_id <> $1), min(%1$I), max(%1$I) FROM {store}.%2$I',
    event_time, staged) INTO found, foreigners, earliest, latest USING r.run_id;
  IF foreigners > 0 OR found IS DISTINCT FROM rows THEN
    PERFORM {store}.refuse('RS008', format('the rows staged for run %s are not those of their digest', r.run_id),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('%s rows, all of the run', {store}.count_text(rows)),
        'examples', ARRAY[format('got %s rows', {store}.count_text(found)),
          format('%s of other runs', {store}.count_text(foreigners))]), 'stage the scores again');
  ELSIF earliest < r.interval_start OR latest >= r.interval_end THEN
    PERFORM {store}.refuse('RS000', format('an event time, %s+00:00, lies outside the run''s interval',
        {store}.moment_text(CASE WHEN earliest < r.interval_start THEN earliest ELSE latest END)),
      jsonb_build_object('where', 'scores of ' || {store}.where_is(r),
        'expected', 'moments in ' || {store}.interval_text(r.interval_start, r.interval_end)),
      'check the event_time column of extract.sql');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.stage_finish(of_run uuid, held bigint, by_version text, by_sha256 text,
  digest jsonb, numeric_environment jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
  rows bigint := (digest->>'rows')::bigint;
  bound text := {store}.binding_of(r.input_digest, by_sha256, digest->>'root', rows);
  staged text;
  event_time text;
BEGIN
  IF r.binding IS NOT NULL THEN
    PERFORM {store}.refuse_other_scores(r, bound, format('got %s by package %s', digest->>'root', by_sha256));
    RETURN;
  END IF;
  PERFORM {store}.refuse_erased(r);
  SELECT s.table_name, m.event_time INTO staged, event_time FROM {store}.staging s, {store}.model m
    WHERE s.run_id = of_run AND s.fence = held AND s.shard IS NULL AND m.name = r.model;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS000', format('this attempt at run %s has not begun to stage', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a staging that was begun'), 'begin it');
  END IF;
  -- Whoever still copies is waited for; nobody adds a row from here on.
  EXECUTE format('LOCK TABLE {store}.%I IN ACCESS EXCLUSIVE MODE', staged);
  PERFORM {store}.refuse_unfit(r, staged, event_time, rows);
  PERFORM {store}.move_staged(r, staged);
  UPDATE {store}.run SET rows_scored = rows, score_digest = digest, package_version = by_version,
      package_sha256 = by_sha256, environment = coalesce(numeric_environment, environment), binding = bound
    WHERE run_id = of_run;
END $$;
