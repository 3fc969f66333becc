-- What is known about a run: validation, drift, rows without a score, performance, reproductions.

CREATE OR REPLACE FUNCTION {store}.record_validation(of_run uuid, held bigint, passed boolean, document jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_unscored(of_run, held);
BEGIN
  IF EXISTS (SELECT FROM {store}.validation
      WHERE run_id = of_run AND (success, report) = (passed, document)) THEN
    RETURN;
  ELSIF r.state NOT IN ('claimed', 'extracted') THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s: its validation is final', of_run, r.state),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that is extracted'), 'fork the run');
  END IF;
  INSERT INTO {store}.validation (run_id, success, report) VALUES (of_run, passed, document)
    ON CONFLICT (run_id) DO UPDATE
      SET success = excluded.success, report = excluded.report, at = clock_timestamp();
END $$;

CREATE OR REPLACE FUNCTION {store}.record_drift(of_run uuid, held bigint, verdict text, sentence text,
  document jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  r {store}.run := {store}.open_run(of_run, held);
BEGIN
  IF EXISTS (SELECT FROM {store}.drift d WHERE d.run_id = of_run
      AND (d.verdict, d.sentence, d.report) = ($3, $4, $5)) THEN
    RETURN;
  ELSIF r.state <> 'scored' THEN
    PERFORM {store}.refuse('RS000', format('run %s is %s: it takes no drift report', of_run, r.state),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that is scored'), 'fork the run');
  END IF;
  INSERT INTO {store}.drift (run_id, verdict, sentence, report) VALUES (of_run, $3, $4, $5)
    ON CONFLICT (run_id) DO UPDATE SET verdict = excluded.verdict, sentence = excluded.sentence,
      report = excluded.report, at = clock_timestamp();
END $$;

-- Keeps a part of the rows that get no score; with the last part, counts them. Recording the same again changes
-- nothing. part: one object a row, of the columns of the model's table but run_id; before: how many rows the parts
-- before it had, with smaller positions; total: how many all parts have. The caller sends all in one transaction.
CREATE OR REPLACE FUNCTION {store}.record_excluded(of_run uuid, held bigint, part jsonb, before bigint, total bigint)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.open_unscored(of_run, held);
  target text := 'excluded_' || r.model;
  here bigint := jsonb_array_length(part);
  kept bigint := 0;
  same boolean := true;
  quarantined bigint := 0;
  rejected bigint := 0;
BEGIN
  IF EXISTS (SELECT FROM {store}.model WHERE name = r.model) THEN
    EXECUTE format('SELECT count(*) FROM {store}.%I WHERE run_id = $1', target) INTO kept USING of_run;
  END IF;
  IF kept = before AND here > 0 THEN
    EXECUTE format('INSERT INTO {store}.%1$I SELECT (jsonb_populate_record(NULL::{store}.%1$I,'
      ' e || jsonb_build_object(''run_id'', $1))).* FROM jsonb_array_elements($2) e', target) USING of_run, part;
  ELSIF kept = total AND here > 0 THEN
    EXECUTE format('SELECT count(*) = $3 FROM {store}.%I k JOIN jsonb_array_elements($2) e'
      ' ON k."position" = (e->>''position'')::bigint AND k.kind = e->>''kind'' AND k.reason = e->>''reason'''
      ' WHERE k.run_id = $1', target) INTO same USING of_run, part, here;
  ELSE
    same := kept = total;
  END IF;
  IF NOT same THEN
    PERFORM {store}.refuse('RS000', format('run %s has set other rows aside already', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected',
        format('the same %s rows, or none yet', {store}.count_text(kept))), 'fork the run');
  ELSIF before + here = total THEN
    IF total > 0 THEN
      EXECUTE format('SELECT count(*) FILTER (WHERE kind = ''quarantined''), count(*) FILTER (WHERE kind ='
        ' ''rejected'') FROM {store}.%I WHERE run_id = $1', target) INTO quarantined, rejected USING of_run;
    END IF;
    UPDATE {store}.run SET rows_quarantined = quarantined, rows_rejected = rejected WHERE run_id = of_run;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.record_performance(of_run uuid, as_of timestamptz,
  label_coverage double precision, metrics jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(of_run);
BEGIN
  INSERT INTO {store}.measured_interval VALUES (r.model, r.interval_start, r.interval_end) ON CONFLICT DO NOTHING;
  INSERT INTO {store}.performance (run_id, as_of, label_coverage, metrics) VALUES ($1, $2, $3, $4);
END $$;

CREATE OR REPLACE FUNCTION {store}.record_reproduction(of_run uuid, verdict text, details jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.the_run(of_run);
  INSERT INTO {store}.reproduction (run_id, verdict, details) VALUES ($1, $2, $3);
END $$;
