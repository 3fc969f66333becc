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

-- Notes that a file is gone. Rows are noted by what deletes them.
CREATE OR REPLACE FUNCTION {store}.note_deletion(of_model text, what text, subject text, rows bigint,
  bytes bigint, rule text, done_by text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  IF what IS NULL OR what NOT IN ('frozen input', 'training snapshot', 'cached file', 'environment') THEN
    PERFORM {store}.refuse('RS000', format('%L is no kind of file', what),
      '{"expected": "frozen input, training snapshot, cached file, environment"}', NULL);
  END IF;
  INSERT INTO {store}.deletion (model, what, subject, rows, bytes, rule, done_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7);
END $$;

-- Deletes the scores of a run and its rows without one, and notes it; gives how many. A run that never ended
-- fails first, so that whoever still works on it can't publish it.
CREATE OR REPLACE FUNCTION {store}.delete_rows(of_run uuid, rule text, done_by text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run := {store}.the_run(of_run);
  target text;
  gone bigint;
  deleted bigint := 0;
  hold bigint;
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  -- In the order in which a publication locks them.
  PERFORM 1 FROM {store}.claim WHERE model = r.model
    AND interval_start = r.interval_start AND interval_end = r.interval_end FOR UPDATE;
  PERFORM 1 FROM {store}.run WHERE run_id = of_run FOR NO KEY UPDATE;
  r := {store}.the_run(of_run);
  IF EXISTS (SELECT FROM {store}.current_publication WHERE run_id = of_run)
      OR (r.state = 'checked' AND r.error IS NOT NULL) THEN
    PERFORM {store}.refuse('RS000',
      format('the rows of run %s are needed: it is published or waits for a person', of_run),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'a run that was superseded or abandoned'), NULL);
  END IF;
  SELECT h.hold_id INTO hold FROM {store}.legal_hold h WHERE (h.model IS NULL OR h.model = r.model)
    AND (h.interval_start IS NULL OR (h.interval_start < r.interval_end AND r.interval_start < h.interval_end))
    AND NOT EXISTS (SELECT FROM {store}.hold_lifted l WHERE l.hold_id = h.hold_id) LIMIT 1;
  IF FOUND THEN
    PERFORM {store}.refuse('RS000', format('legal hold %s keeps the rows of run %s', hold, of_run),
      jsonb_build_object('where', {store}.where_is(r)), '`rescore retention holds` says who placed it, and why');
  END IF;
  IF r.state IN ('claimed', 'extracted', 'validated', 'scored', 'checked') THEN
    UPDATE {store}.run SET error = jsonb_build_object('type', '', 'message', 'abandoned: ' || rule, 'data', '{}'::jsonb)
      WHERE run_id = of_run;
    PERFORM {store}.enter_state(of_run, 'failed');
  END IF;
  IF EXISTS (SELECT FROM {store}.model WHERE name = r.model) THEN
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

CREATE OR REPLACE FUNCTION {store}.place_hold(of_model text, interval_start timestamptz,
  interval_end timestamptz, placed_by text, reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM {store}.refuse_unsaid(placed_by, reason, 'legal hold');
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
