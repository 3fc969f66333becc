-- Shards: a run's scores staged in parts. The attempt that plans them cuts the run's rows into ranges; each
-- range is staged by an attempt of its own, to a table of its own; joining makes all of them the run's scores,
-- or none. A shard locks the run's row as a reader, so that many work at once and no later attempt at the run
-- begins while one of them finishes.

-- The shards of a run that have no scores, for people; NULL if none is missing.
CREATE OR REPLACE FUNCTION {store}.missing_shards(of_run uuid)
RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(format('shard %s, rows %s to %s', number, {store}.count_text(first_row),
      {store}.count_text(first_row + rows - 1)) ORDER BY number)
    FROM {store}.shard WHERE run_id = of_run AND digest IS NULL
$$;

CREATE OR REPLACE FUNCTION {store}.refuse_missing_shards(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  missing text[] := {store}.missing_shards(r.run_id);
BEGIN
  IF missing IS NOT NULL AND r.binding IS NULL THEN
    PERFORM {store}.refuse('RS007', format('%s of %s shards of run %s have no scores', cardinality(missing),
        (SELECT count(*) FROM {store}.shard WHERE run_id = r.run_id), r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'every shard once',
        'examples', missing, 'data', jsonb_build_object('run_id', r.run_id)),
      'run those shards again (clear their tasks), then join them');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.refuse_bound(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF r.binding IS NOT NULL THEN
    PERFORM {store}.refuse('RS000', format('run %s has scores already', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run without scores'), 'fork the run');
  END IF;
END $$;

-- Locks the run as one of many shards that work at the same time.
CREATE OR REPLACE FUNCTION {store}.shared_run(wanted uuid, held bigint)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  PERFORM 1 FROM {store}.run WHERE run_id = wanted FOR SHARE;
  r := {store}.the_run(wanted);
  PERFORM {store}.refuse_stale(r, held);
  PERFORM {store}.refuse_ended(r);
  RETURN r;
END $$;

CREATE OR REPLACE FUNCTION {store}.locked_shard(of_run uuid, held bigint, of_number integer)
RETURNS {store}.shard LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s {store}.shard;
BEGIN
  SELECT * INTO s FROM {store}.shard WHERE run_id = of_run AND number = of_number AND fence = held FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS004', format('this attempt at run %s has planned no shard %s', of_run, of_number),
      jsonb_build_object('where', {store}.where_is({store}.the_run(of_run)), 'expected', 'a shard of its plan',
        'examples', (SELECT coalesce(jsonb_agg(format('shard %s', number) ORDER BY number), '[]')
          FROM {store}.shard WHERE run_id = of_run AND fence = held)), 'plan the shards first');
  END IF;
  RETURN s;
END $$;

-- Refuses a shard of another numeric environment than the run was planned in: its bits could be others.
CREATE OR REPLACE FUNCTION {store}.refuse_other_environment(r {store}.run, s {store}.shard, met jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(met, s.environment) <> s.environment THEN
    PERFORM {store}.refuse('RS010', format('shard %s of run %s meets another numeric environment than the run was'
        ' planned in', s.number, r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', s.environment::text,
        'examples', (SELECT jsonb_agg(format('%s: %s', e.key, e.value) ORDER BY e.key)
          FROM jsonb_each(met) e WHERE s.environment->e.key IS DISTINCT FROM e.value)),
      'try the shard again on a worker of that kind (clear its task), or plan the run anew for this kind (clear'
        ' `split`); a queue with workers of one kind (airflow.queue) keeps it from happening');
  END IF;
END $$;

-- The table that a shard was last staged to, if it is there.
CREATE OR REPLACE FUNCTION {store}.shard_table(s {store}.shard)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT table_name FROM {store}.staging WHERE run_id = s.run_id AND fence = s.fence AND shard = s.number
    AND table_name = format('staged_%s_%s_%s_%s', replace(s.run_id::text, '-', ''), s.fence, s.number, s.attempt)
$$;

-- Whether all rows of a shard that was staged are still there: a crash of the server takes unlogged ones.
CREATE OR REPLACE FUNCTION {store}.shard_is_there(s {store}.shard)
RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  staged text := {store}.shard_table(s);
  found bigint;
BEGIN
  IF s.digest IS NULL OR staged IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('SELECT count(*) FROM {store}.%I', staged) INTO found;
  RETURN found = s.rows;
END $$;

-- What runs call ----------------------------------------------------------------------------------------

-- Plans the shards of an attempt: how many rows each has, in the order of the scores. Another plan of the run is
-- forgotten with what was staged for it.
CREATE OR REPLACE FUNCTION {store}.shards_begin(of_run uuid, held bigint, by_version text, by_sha256 text,
  numeric_environment jsonb, rows_of jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
  wanted bigint := r.rows_extracted - r.rows_quarantined - r.rows_rejected;
  planned bigint;
  fewest bigint;
BEGIN
  PERFORM {store}.refuse_bound(r);
  IF r.state <> 'validated' THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s; its rows can''t be cut into shards', of_run, r.state),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that is validated'), NULL);
  END IF;
  SELECT sum(value::bigint), min(value::bigint) INTO planned, fewest FROM jsonb_array_elements_text(rows_of);
  IF planned IS DISTINCT FROM wanted OR fewest < 0 THEN
    PERFORM {store}.refuse('RS007', format('the shards of run %s are not its rows', of_run),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('%s rows in all', {store}.count_text(wanted)),
        'examples', ARRAY[format('got %s', {store}.count_text(planned))]), 'cut the rows that passed');
  END IF;
  PERFORM {store}.prepare_staging(r);
  DELETE FROM {store}.shard WHERE run_id = of_run;
  INSERT INTO {store}.shard (run_id, number, fence, first_row, rows, input_digest, package_version,
      package_sha256, environment)
    SELECT of_run, ordinality - 1, held, sum(value::bigint) OVER (ORDER BY ordinality) - value::bigint,
      value::bigint, r.input_digest, by_version, by_sha256, coalesce(numeric_environment, r.environment)
    FROM jsonb_array_elements_text(rows_of) WITH ORDINALITY;
END $$;

-- Begins an attempt at one shard: its table and its number; no table if the shard is staged already. What an
-- earlier attempt at it still does counts for nothing.
CREATE OR REPLACE FUNCTION {store}.shard_begin(of_run uuid, held bigint, of_number integer,
  numeric_environment jsonb, OUT staged text, OUT attempt integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(of_run);
  s {store}.shard;
BEGIN
  IF r.binding IS NOT NULL AND EXISTS (
      SELECT FROM {store}.shard d WHERE d.run_id = of_run AND d.number = of_number AND d.fence = held) THEN
    RETURN;  -- all were joined: nothing is left to do
  END IF;
  r := {store}.shared_run(of_run, held);
  s := {store}.locked_shard(of_run, held, of_number);
  PERFORM {store}.refuse_bound(r);
  PERFORM {store}.refuse_erased(r);
  IF {store}.shard_is_there(s) THEN
    RETURN;
  END IF;
  PERFORM {store}.refuse_other_environment(r, s, numeric_environment);
  PERFORM {store}.discard_staged(t.table_name) FROM {store}.staging t
    WHERE t.run_id = of_run AND t.fence = held AND t.shard = of_number;
  UPDATE {store}.shard d SET attempt = d.attempt + 1, digest = NULL, begun_at = clock_timestamp(), done_at = NULL
    WHERE d.run_id = of_run AND d.number = of_number RETURNING d.attempt INTO shard_begin.attempt;
  staged := format('staged_%s_%s_%s_%s', replace(of_run::text, '-', ''), held, of_number, attempt);
  PERFORM {store}.make_staged(r, staged, of_number);
END $$;

-- Takes what lies in the attempt's table as the scores of its shard; nobody adds a row to it from here on.
CREATE OR REPLACE FUNCTION {store}.shard_finish(of_run uuid, held bigint, of_number integer, of_attempt integer,
  digest jsonb, numeric_environment jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.shared_run(of_run, held);
  s {store}.shard := {store}.locked_shard(of_run, held, of_number);
  staged text := {store}.shard_table(s);
  event_time text;
BEGIN
  PERFORM {store}.refuse_bound(r);
  IF of_attempt IS DISTINCT FROM s.attempt THEN
    PERFORM {store}.refuse('RS001', format('this is attempt %s at shard %s of run %s, and a later one began',
        of_attempt, of_number, of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', format('attempt %s', s.attempt),
        'data', jsonb_build_object('run_id', of_run, 'shard', of_number, 'attempt', of_attempt,
          'current_attempt', s.attempt)),
      'let the later one finish; this one changes and publishes nothing');
  ELSIF s.digest IS NOT NULL AND s.digest = digest THEN
    RETURN;
  ELSIF staged IS NULL OR s.digest IS NOT NULL THEN
    PERFORM {store}.refuse('RS000', format('this attempt at shard %s of run %s has not begun to stage', of_number,
        of_run), jsonb_build_object('where', {store}.where_is(r), 'expected', 'a staging that was begun'),
      'begin it');
  END IF;
  PERFORM {store}.refuse_other_environment(r, s, numeric_environment);
  EXECUTE format('LOCK TABLE {store}.%I IN ACCESS EXCLUSIVE MODE', staged);
  PERFORM {store}.close_staged(staged);
  SELECT m.event_time INTO event_time FROM {store}.model m WHERE m.name = r.model;
  IF (digest->>'rows')::bigint IS DISTINCT FROM s.rows THEN
    PERFORM {store}.refuse('RS007', format('shard %s of run %s has %s rows', of_number, of_run,
        {store}.count_text((digest->>'rows')::bigint)),
      jsonb_build_object('where', {store}.where_is(r), 'expected', {store}.count_text(s.rows) || ' rows'),
      'score the shard again');
  END IF;
  PERFORM {store}.refuse_unfit(r, staged, event_time, s.rows);
  UPDATE {store}.shard d SET digest = shard_finish.digest, done_at = clock_timestamp()
    WHERE d.run_id = of_run AND d.number = of_number;
END $$;

-- Makes all shards the run's scores, if each is there once and their leaves are those of the whole.
CREATE OR REPLACE FUNCTION {store}.shards_finish(of_run uuid, held bigint, digest jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
  total bigint := (digest->>'rows')::bigint;
  s {store}.shard;
  bound text;
  leaves jsonb;
  rows bigint;
  gone text[];
BEGIN
  SELECT * INTO s FROM {store}.shard WHERE run_id = of_run AND fence = held ORDER BY number LIMIT 1;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS000', format('this attempt at run %s has planned no shards', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a plan of shards'), 'plan the shards first');
  END IF;
  bound := {store}.binding_of(r.input_digest, s.package_sha256, digest->>'root', total);
  IF r.binding IS NOT NULL THEN
    PERFORM {store}.refuse_other_scores(r, bound, format('got %s by package %s', digest->>'root', s.package_sha256));
    RETURN;
  END IF;
  PERFORM {store}.refuse_erased(r);
  PERFORM {store}.refuse_missing_shards(r);
  SELECT array_agg(format('shard %s', d.number) ORDER BY d.number) INTO gone FROM {store}.shard d
    WHERE d.run_id = of_run AND NOT {store}.shard_is_there(d);
  IF gone IS NOT NULL THEN
    PERFORM {store}.refuse('RS007', format('the staged rows of %s of run %s are gone: the server was restarted after'
        ' a crash', gone[1], of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'every shard once', 'examples', gone,
        'data', jsonb_build_object('run_id', of_run)), 'run those shards again (clear their tasks), then join them');
  END IF;
  SELECT coalesce(jsonb_agg(l.value ORDER BY d.number, l.ordinality), '[]') INTO leaves
    FROM {store}.shard d, jsonb_array_elements(d.digest->'leaves') WITH ORDINALITY l WHERE d.run_id = of_run;
  SELECT sum(d.rows) INTO rows FROM {store}.shard d WHERE d.run_id = of_run;
  IF leaves IS DISTINCT FROM digest->'leaves' OR rows IS DISTINCT FROM total OR s.input_digest <> r.input_digest THEN
    PERFORM {store}.refuse('RS008', format('the scores of run %s are not those of its shards', of_run),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', format('%s rows, the leaves of all shards in order', {store}.count_text(rows)),
        'examples', ARRAY[format('got %s rows, digest %s', {store}.count_text(total), digest->>'root')]),
      'join the shards again');
  END IF;
  FOR s IN SELECT * FROM {store}.shard WHERE run_id = of_run ORDER BY number LOOP
    PERFORM {store}.move_staged(r, {store}.shard_table(s));
  END LOOP;
  UPDATE {store}.run SET rows_scored = total, score_digest = digest, package_version = s.package_version,
      package_sha256 = s.package_sha256, environment = s.environment, binding = bound WHERE run_id = of_run;
END $$;
