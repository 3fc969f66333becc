-- What a run goes through, and the facts about it. Each function locks the run's row, compares fences, and
-- then asks whether the state allows it.

CREATE OR REPLACE FUNCTION {store}.refuse_ended(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF r.state NOT IN ('claimed', 'extracted', 'validated', 'scored', 'checked') THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s: nothing about it changes any more', r.run_id, r.state),
      jsonb_build_object('where', {store}.where_is(r),
        'expected', 'a run that is claimed, extracted, validated, scored, checked',
        'data', jsonb_build_object('run_id', r.run_id, 'state', r.state)),
      'fork the run, or score the interval again');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.open_run(wanted uuid, held bigint)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  PERFORM 1 FROM {store}.run WHERE run_id = wanted FOR NO KEY UPDATE;
  r := {store}.the_run(wanted);
  PERFORM {store}.refuse_stale(r, held);
  PERFORM {store}.refuse_ended(r);
  RETURN r;
END $$;

CREATE OR REPLACE FUNCTION {store}.open_unscored(wanted uuid, held bigint)
RETURNS {store}.run LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(wanted, held);
BEGIN
  IF r.score_digest IS NOT NULL THEN
    PERFORM {store}.refuse('RS000',
      format('run %s has scores already, made from the rows that had passed', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run without scores'), 'fork the run');
  END IF;
  RETURN r;
END $$;

CREATE OR REPLACE FUNCTION {store}.set_facts(r {store}.run, facts jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known text[] := ARRAY['input_digest', 'input_uri', 'query_sha256', 'rows_extracted', 'rows_quarantined',
    'rows_rejected', 'code_revision', 'environment', 'airflow'];
  unknown text[];
BEGIN
  SELECT array_agg(key ORDER BY key) INTO unknown FROM jsonb_object_keys(facts) key WHERE key <> ALL (known);
  IF unknown IS NOT NULL THEN
    PERFORM {store}.refuse('RS000', format('a run has no fact %L', unknown[1]),
      jsonb_build_object('expected', array_to_string(known, ', '), 'examples', unknown), NULL);
  END IF;
  IF r.binding IS NOT NULL AND
      facts ?| ARRAY['input_digest', 'input_uri', 'rows_extracted', 'rows_quarantined', 'rows_rejected'] THEN
    PERFORM {store}.refuse('RS000',
      format('run %s has staged scores; what made them changes no more', r.run_id),
      jsonb_build_object('where', {store}.where_is(r)), 'fork the run');
  END IF;
  UPDATE {store}.run SET
      (input_digest, input_uri, query_sha256, rows_extracted, rows_quarantined, rows_rejected, code_revision,
        environment, airflow) =
      (SELECT f.input_digest, f.input_uri, f.query_sha256, f.rows_extracted, f.rows_quarantined,
        f.rows_rejected, f.code_revision, f.environment, f.airflow
        FROM jsonb_populate_record(r, facts) f)
    WHERE run_id = r.run_id;
END $$;

-- Refuses a state for which something is not recorded.
CREATE OR REPLACE FUNCTION {store}.refuse_unreached(r {store}.run, wanted text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reached integer := array_position(ARRAY['claimed', 'extracted', 'validated', 'scored', 'checked'], wanted);
  missing text[] := ARRAY[]::text[];
BEGIN
  IF reached >= 2 AND r.input_digest IS NULL THEN
    missing := missing || 'input_digest'::text;
  END IF;
  IF reached >= 2 AND r.rows_extracted IS NULL THEN
    missing := missing || 'rows_extracted'::text;
  END IF;
  IF reached >= 3 AND NOT EXISTS (SELECT FROM {store}.validation v WHERE v.run_id = r.run_id AND v.success) THEN
    missing := missing || 'a validation that passed (record_validation)'::text;
  END IF;
  IF reached >= 4 AND r.binding IS NULL THEN
    missing := missing || 'staged scores (scores.stage)'::text;
  END IF;
  IF reached >= 5 AND NOT EXISTS (SELECT FROM {store}.drift d WHERE d.run_id = r.run_id) THEN
    missing := missing || 'a drift report (record_drift)'::text;
  END IF;
  IF missing <> ARRAY[]::text[] THEN
    PERFORM {store}.refuse('RS000',
      format('run %s can''t be %s: %s is not recorded', r.run_id, wanted, missing[1]),
      jsonb_build_object('where', {store}.where_is(r), 'examples', missing), 'record it first');
  END IF;
END $$;

-- What runs call ----------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION {store}.note_facts(of_run uuid, held bigint, facts jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.set_facts({store}.open_run(of_run, held), facts);
END $$;

CREATE OR REPLACE FUNCTION {store}.advance(of_run uuid, held bigint, wanted text, facts jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
  states text[] := ARRAY['claimed', 'extracted', 'validated', 'scored', 'checked'];
BEGIN
  IF wanted IS NULL OR wanted <> ALL (states) THEN
    PERFORM {store}.refuse('RS000', format('a run can''t be advanced to %L', wanted),
      '{"expected": "extracted, validated, scored, checked"}',
      'use publish, fail or stop for how a run ends');
  ELSIF array_position(states, wanted) < array_position(states, r.state) THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s; it can''t go back to %s', r.run_id, r.state, wanted),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a state after ' || r.state), 'fork the run');
  END IF;
  PERFORM {store}.set_facts(r, facts);
  PERFORM {store}.refuse_unreached({store}.the_run(of_run), wanted);
  IF wanted <> r.state THEN
    PERFORM {store}.enter_state(of_run, wanted);
  END IF;
END $$;

-- Closes the run with the error that ended it. One that has ended stays as it is, and so does one that a
-- later attempt works on.
CREATE OR REPLACE FUNCTION {store}.end_run(of_run uuid, held bigint, ended text, why jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  PERFORM 1 FROM {store}.run WHERE run_id = of_run FOR NO KEY UPDATE;
  r := {store}.the_run(of_run);
  IF ended IS NULL OR ended NOT IN ('failed', 'stopped') OR why->>'message' IS NULL THEN
    PERFORM {store}.refuse('RS000', format('run %s can''t end as %s', of_run, ended),
      '{"expected": "failed or stopped, and an error with a message"}', NULL);
  END IF;
  IF r.state NOT IN ('claimed', 'extracted', 'validated', 'scored', 'checked') OR EXISTS (
      SELECT FROM {store}.claim c WHERE c.model = r.model AND c.interval_start = r.interval_start
        AND c.interval_end = r.interval_end AND c.run_id = r.run_id AND c.fence IS DISTINCT FROM held) THEN
    RETURN;
  END IF;
  UPDATE {store}.run SET error = why WHERE run_id = of_run;
  PERFORM {store}.enter_state(of_run, ended);
END $$;

CREATE OR REPLACE FUNCTION {store}.hold(of_run uuid, held bigint, why jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
BEGIN
  IF why->>'message' IS NULL THEN
    PERFORM {store}.refuse('RS000', format('it is not said why run %s is held', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'an error with a message'), NULL);
  END IF;
  UPDATE {store}.run SET error = why WHERE run_id = of_run;
END $$;
