-- What an erasure asks of runs under way. It finds a person by the frozen rows, so whatever is still made of these
-- has to end before they go. The owner calls these; nothing can be staged from rows that an erasure touched.

-- Whether a frozen table lost rows to an erasure and was not frozen again since. Of most tables there is no
-- tombstone, and nothing more is read.
CREATE OR REPLACE FUNCTION {store}.erased_since_frozen(digest text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM {store}.tombstone t WHERE t.what = 'frozen' AND t.subject = $1
    AND NOT EXISTS (SELECT FROM {store}.names_of($1) s WHERE s.created_at >= t.at
      OR EXISTS (SELECT FROM {store}.frozen_again a WHERE a.snapshot_id = s.snapshot_id AND a.at >= t.at)))
$$;

-- Refuses to make scores of rows that an erasure touched. Until the caller's transaction ends, none begins to.
CREATE OR REPLACE FUNCTION {store}.refuse_erased(r {store}.run)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.lock_name_shared('frozen ' || r.input_digest);
  IF {store}.erased_since_frozen(r.input_digest) THEN
    PERFORM {store}.refuse('RS000', format('rows of the frozen input of run %s were erased', r.run_id),
      jsonb_build_object('where', {store}.where_is(r), 'expected', 'frozen rows that are all there',
        'data', jsonb_build_object('run_id', r.run_id, 'input_digest', r.input_digest)),
      'score the interval again (in Airflow clear the run from `extract` on): it freezes what the source has now');
  END IF;
END $$;

-- Ends the runs of these models that have no scores and were to make them of this frozen table; what they set aside
-- and what they staged goes. Gives their ids. A run that somebody is about to give its scores is waited for.
CREATE OR REPLACE FUNCTION {store}.end_unscored(of_models jsonb, digest text, rule text, done_by text)
RETURNS SETOF uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r {store}.run;
BEGIN
  -- Before any claim, as each deletion; claims in the order in which a claim locks those that overlap it.
  PERFORM {store}.lock_name('holds');
  FOR r IN SELECT * FROM {store}.run WHERE of_models ? model AND input_digest = digest AND binding IS NULL
      AND NOT {store}.rows_deleted(run_id) ORDER BY model, interval_start, interval_end, run_id LOOP
    PERFORM 1 FROM {store}.claim WHERE model = r.model
      AND interval_start = r.interval_start AND interval_end = r.interval_end FOR UPDATE;
    PERFORM 1 FROM {store}.run WHERE run_id = r.run_id AND binding IS NULL FOR NO KEY UPDATE;
    IF FOUND THEN
      PERFORM {store}.delete_rows(r.run_id, NULL, rule, done_by);
      RETURN NEXT r.run_id;
    END IF;
  END LOOP;
END $$;

-- Whether the tombstone of a frozen table may be written: no run of these models may still stage what it made of the
-- table, and the rows of all that have were searched. Nobody begins an attempt with the table until the caller's
-- transaction ends; whoever does after that finds the tombstone.
CREATE OR REPLACE FUNCTION {store}.may_bury(of_models jsonb, digest text, searched jsonb)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.lock_name('frozen ' || digest);
  RETURN NOT EXISTS (SELECT FROM {store}.run r WHERE of_models ? r.model AND r.input_digest = digest
    AND NOT searched ? r.run_id::text AND NOT {store}.rows_deleted(r.run_id));
END $$;

-- Whether the archive's file of this digest is of no use: no snapshot names it, or an erasure took rows out of the
-- table since, and it is not what one left.
CREATE OR REPLACE FUNCTION {store}.is_stray(digest text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT NOT EXISTS (SELECT FROM {store}.tombstone t WHERE t.what = 'frozen' AND t.remaining = $1
      AND t.tombstone_id = (SELECT max(l.tombstone_id) FROM {store}.tombstone l
        WHERE l.what = 'frozen' AND l.subject = t.subject))
    AND (NOT EXISTS (SELECT FROM {store}.snapshot s WHERE s.digest = $1 OR s.details->>'unlabelled_digest' = $1)
      OR {store}.erased_since_frozen($1))
$$;

-- Notes that a stray is deleted. The caller deletes its file in the same transaction: until its end nobody records
-- the same rows as frozen, and who does it then sees that the file is gone. Judged: since when the caller took it
-- for one, so that a table that is being frozen again since is left; NULL for an erasure, which deletes it all the
-- same and leaves the note, by which it says that the table may come back.
CREATE OR REPLACE FUNCTION {store}.note_stray_deletion(digest text, bytes bigint, rule text, done_by text,
  judged timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  named {store}.snapshot;
BEGIN
  PERFORM {store}.refuse_unsaid(done_by, rule, 'deletion');
  PERFORM {store}.lock_name('holds');
  PERFORM {store}.lock_name('frozen ' || digest);
  IF digest IS NULL OR NOT {store}.is_stray(digest)
      OR EXISTS (SELECT FROM {store}.freezing f WHERE f.digest = $1 AND f.at > judged) THEN
    PERFORM {store}.refuse('RS009', format('frozen table %s is needed', digest),
      '{"expected": "a file that no snapshot names, or that an erasure replaced"}', NULL);
  END IF;
  -- Whose it is, only a snapshot says; without one it is held by what holds everything.
  PERFORM {store}.refuse_held(NULL, NULL, NULL, 'file ' || digest);
  FOR named IN SELECT * FROM {store}.names_of($1) LOOP
    PERFORM {store}.refuse_held(named.model, named.interval_start, named.interval_end, 'file ' || digest);
  END LOOP;
  INSERT INTO {store}.deletion (what, subject, bytes, rule, done_by) VALUES ('stray file', $1, $2, $3, $4);
  DELETE FROM {store}.freezing f WHERE f.digest = $1 AND judged IS NOT NULL;
END $$;
