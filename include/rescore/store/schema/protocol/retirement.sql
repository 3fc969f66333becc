-- Models that score no more: nothing of theirs is due, and no run of theirs begins.

CREATE OR REPLACE FUNCTION {store}.is_retired(of_model text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT r.retired FROM {store}.retirement r WHERE r.model = of_model
    ORDER BY r.retirement_id DESC LIMIT 1), false)
$$;

-- The caller holds the lock of the model's claims.
CREATE OR REPLACE FUNCTION {store}.refuse_retired(of_model text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.retirement;
BEGIN
  IF {store}.is_retired(of_model) THEN
    SELECT * INTO STRICT r FROM {store}.retirement t WHERE t.model = of_model
      ORDER BY t.retirement_id DESC LIMIT 1;
    PERFORM {store}.refuse('RS000', format('%s was retired by %s: %s', of_model, r.who, r.why),
      jsonb_build_object('where', '{store_text}.retirement', 'expected', 'a model that is in use'),
      format('to use it again: `rescore store register %s`', of_model));
  END IF;
END $$;

-- What runs call in a person's name ---------------------------------------------------------------------

CREATE OR REPLACE FUNCTION {store}.retire_model(of_model text, who text, why text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF {store}.is_blank(who) OR {store}.is_blank(why) THEN
    PERFORM {store}.refuse('RS000', format('it is not said who retires %s, or why', of_model),
      '{"expected": "a name and a reason"}', 'give both; they are kept, and shown to consumers');
  END IF;
  PERFORM {store}.lock_name('claim ' || of_model);
  IF NOT EXISTS (SELECT FROM {store}.model m WHERE m.name = of_model)
      AND NOT EXISTS (SELECT FROM {store}.pin p WHERE p.model = of_model) THEN
    PERFORM {store}.refuse('RS004', format('the store knows no model %s', of_model),
      jsonb_build_object('where', '{store_text}.model', 'expected', 'one of: ' || coalesce((
        SELECT string_agg(m.name, ', ' ORDER BY m.name) FROM {store}.model m), '(none)')),
      '`rescore status` lists them');
  END IF;
  PERFORM {store}.refuse_retired(of_model);
  INSERT INTO {store}.retirement (model, retired, who, why) VALUES (of_model, true, $2, $3);
  -- Nothing more is due; registered again, the model declares its timetable anew.
  DELETE FROM {store}.due d WHERE d.model = of_model AND d.interval_end > clock_timestamp();
  DELETE FROM {store}.timetable t WHERE t.model = of_model;
END $$;
