-- Facts about models' packages: snapshots, packages, builds, pins, signatures, comparisons, retrainings.

-- Notes that a table is about to be put in the archive: until a snapshot names it, a sweep and an erasure know of it.
CREATE OR REPLACE FUNCTION {store}.note_freezing(of_digest text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO {store}.freezing (digest) VALUES (of_digest)
    ON CONFLICT (digest) DO UPDATE SET at = clock_timestamp()
$$;

CREATE OR REPLACE FUNCTION {store}.add_snapshot(of_model text, kind text, digest text,
  interval_start timestamptz, interval_end timestamptz, as_of timestamptz, rows bigint, uri text, details jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- From here on retention sees that it is frozen anew; what it deletes at this moment is gone when this returns.
  -- In the order of a pin, so that the two never wait for each other.
  PERFORM {store}.lock_name('frozen ' || frozen)
    FROM unnest(ARRAY[$3, $9->>'unlabelled_digest']) frozen WHERE frozen IS NOT NULL ORDER BY frozen;
  INSERT INTO {store}.snapshot (model, kind, digest, interval_start, interval_end, as_of, rows, uri, details)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    INSERT INTO {store}.frozen_again (snapshot_id) SELECT s.snapshot_id FROM {store}.snapshot s
      WHERE (s.model, s.kind, s.digest, s.interval_start, s.interval_end, s.as_of) = ($1, $2, $3, $4, $5, $6);
  END IF;
  -- Of the same rows frozen again the first snapshot counts: it may name another table of unlabelled rows.
  DELETE FROM {store}.freezing f USING {store}.snapshot s
    WHERE (s.model, s.kind, s.digest, s.interval_start, s.interval_end, s.as_of) = ($1, $2, $3, $4, $5, $6)
      AND f.digest IN (s.digest, s.details->>'unlabelled_digest');
END $$;

CREATE OR REPLACE FUNCTION {store}.add_package(of_model text, of_version text, of_sha256 text, manifest jsonb,
  uri text, built jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken record;
BEGIN
  INSERT INTO {store}.package (model, version, sha256, manifest, uri) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING;
  SELECT p.version, p.sha256 INTO taken FROM {store}.package p WHERE p.model = of_model
    AND (p.version = of_version OR p.sha256 = of_sha256) AND (p.version, p.sha256) <> (of_version, of_sha256);
  IF FOUND THEN
    PERFORM {store}.refuse('RS000', format('%s %s is %s already', of_model, taken.version, taken.sha256),
      jsonb_build_object('where', '{store_text}.package',
        'expected', format('a new version for %s, or the same file', of_sha256),
        'data', jsonb_build_object('model', of_model, 'version', taken.version, 'sha256', taken.sha256)),
      'train again: it takes the next free version');
  END IF;
  IF built IS NOT NULL THEN
    INSERT INTO {store}.build (model, sha256, built) VALUES ($1, $3, $6);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {store}.needs_four_eyes(of_model text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT r.four_eyes FROM {store}.approval_rule r WHERE r.model = $1
    ORDER BY r.rule_id DESC LIMIT 1), false)
$$;

-- Whoever runs models may make the rule stricter; the owner alone inserts that it holds no longer.
CREATE OR REPLACE FUNCTION {store}.require_four_eyes(of_model text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.lock_name('pin ' || of_model);
  INSERT INTO {store}.approval_rule (model, four_eyes)
    SELECT of_model, true WHERE NOT {store}.needs_four_eyes(of_model);
END $$;

-- Refuse a decision about a package by who trained it, in any of its builds, or by nobody in person.
CREATE OR REPLACE FUNCTION {store}.refuse_own_approval(of_model text, of_sha256 text, who text)
RETURNS void LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  package text := of_model || ' ' || coalesce((SELECT p.version FROM {store}.package p
    WHERE p.model = of_model AND p.sha256 = of_sha256), of_sha256);
  trainers text[];
  said text;
BEGIN
  IF NOT {store}.needs_four_eyes(of_model) THEN
    RETURN;
  END IF;
  SELECT array_agg(DISTINCT b.built->>'trained_by') INTO trainers FROM {store}.build b
    WHERE b.model = of_model AND b.sha256 = of_sha256 AND NOT {store}.is_blank(b.built->>'trained_by');
  IF trainers IS NULL THEN
    said := format('nobody knows who trained %s, which %s would approve', package, who);
  ELSIF {store}.person(who) = 'rule' THEN
    said := format('%s trained %s, and no person would approve it: %s is none',
      array_to_string(trainers, ', '), package, who);
  ELSIF {store}.person(who) IN (SELECT {store}.person(trainer) FROM unnest(trainers) trainer) THEN
    said := format('%s trained %s, and %s would approve it', array_to_string(trainers, ', '), package, who);
  ELSE
    RETURN;
  END IF;
  PERFORM {store}.refuse('RS011', said,
    jsonb_build_object('where', '{store_text}.approval_rule',
      'expected', 'a person who did not train it, since the model declares promotion.approval: four_eyes',
      'data', jsonb_build_object('trained_by', to_jsonb(trainers), 'approved_by', who)),
    CASE WHEN trainers IS NULL
      THEN format('train it again: the same bytes, and who did is stored (`rescore train %s`)', of_model)
      ELSE 'let somebody else decide' END);
END $$;

-- Refuse a pin from the login that recorded a build of the package, whatever names were given, and from one
-- that has the name of who trained it. A build that the chain has not yet is of this very transaction.
CREATE OR REPLACE FUNCTION {store}.refuse_own_login(of_model text, of_sha256 text, who text)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own boolean := {store}.needs_four_eyes(of_model) AND EXISTS (
    SELECT FROM {store}.build b LEFT JOIN {store}.chain c
      ON c.about = 'build' AND c.key = jsonb_build_array(b.build_id)::text
    WHERE b.model = of_model AND b.sha256 = of_sha256
      AND (coalesce(c.entry::jsonb->>'by', session_user) = session_user
        OR {store}.person(b.built->>'trained_by') = {store}.person(session_user)));
BEGIN
  IF own THEN
    PERFORM {store}.refuse('RS011', format(
        'the login %s trained %s %s, and would approve it in the name of %s', session_user, of_model,
        coalesce((SELECT p.version FROM {store}.package p WHERE p.model = of_model AND p.sha256 = of_sha256),
          of_sha256), who),
      jsonb_build_object('where', '{store_text}.chain',
        'expected', 'another login at the database, since the model declares promotion.approval: four_eyes',
        'data', jsonb_build_object('login', session_user, 'approved_by', who)),
      'set RESCORE_RELEASE_URL to a login of its own, and let somebody else decide');
  END IF;
END $$;

-- A name, however it is written: two spellings of one login are one person.
CREATE OR REPLACE FUNCTION {store}.person(name text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT lower(regexp_replace(name, '^\s+|\s+$', '', 'g'))
$$;

CREATE OR REPLACE FUNCTION {store}.pin_package(of_model text, of_version text, of_sha256 text, who text,
  why text, evidence jsonb)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  registered text;
  id bigint;
BEGIN
  IF {store}.is_blank(who) OR {store}.is_blank(why) THEN
    PERFORM {store}.refuse('RS000',
      format('the pin of %s %s does not say who decides, or why', of_model, of_version),
      '{"expected": "a name and a reason"}', 'give both; they are kept with the pin');
  END IF;
  SELECT p.sha256 INTO registered FROM {store}.package p
    WHERE p.model = of_model AND p.version = of_version;
  IF NOT FOUND THEN
    PERFORM {store}.refuse('RS004', format('%s has no package %s', of_model, of_version),
      jsonb_build_object('where', '{store_text}.package', 'expected', 'one of: ' || coalesce((
        SELECT string_agg(last.version, ', ' ORDER BY last.created_at, last.version)
        FROM (SELECT p.version, p.created_at FROM {store}.package p WHERE p.model = of_model
          ORDER BY p.created_at DESC, p.version DESC LIMIT 10) last), '(none: train first)')),
      format('`rescore packages list %s`', of_model));
  ELSIF registered <> of_sha256 THEN
    PERFORM {store}.refuse('RS000', format('%s %s is %s, not %s', of_model, of_version, registered, of_sha256),
      jsonb_build_object('where', '{store_text}.package', 'expected', registered),
      'pin the package that was evaluated');
  END IF;
  -- Retention sees that its training rows are needed again, or they are gone before this is a pin.
  PERFORM {store}.lock_name('frozen ' || digest) FROM {store}.package p, unnest(ARRAY[
    p.manifest->'lineage'->>'snapshot_digest', p.manifest->'lineage'->'snapshot'->>'unlabelled_digest']) digest
    WHERE p.model = of_model AND p.sha256 = of_sha256 ORDER BY digest;
  -- Ids of concurrent pins follow the order of their commits; nor does the rule change meanwhile.
  PERFORM {store}.lock_name('pin ' || of_model);
  PERFORM {store}.refuse_own_approval(of_model, of_sha256, who);
  PERFORM {store}.refuse_own_login(of_model, of_sha256, who);
  IF {store}.is_withdrawn(of_sha256) THEN
    PERFORM {store}.refuse('RS000', format('%s %s was withdrawn', of_model, of_version),
      jsonb_build_object('where', of_model, 'expected', 'a package whose file is there'),
      'pin another one, or train again: it takes the next free version');
  END IF;
  INSERT INTO {store}.pin (model, version, sha256, who, why, evidence)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING pin_id INTO id;
  RETURN id;
END $$;

-- What people call.
CREATE OR REPLACE FUNCTION {store}.add_pin(of_model text, of_version text, of_sha256 text, who text, why text,
  evidence jsonb)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT {store}.pin_package($1, $2, $3, $4, $5, $6)
$$;

-- What runs call: the declared rule decides, nobody in person.
CREATE OR REPLACE FUNCTION {store}.pin_by_rule(of_model text, of_version text, of_sha256 text, why text,
  evidence jsonb)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT {store}.pin_package($1, $2, $3, 'rule', $4, $5)
$$;

CREATE OR REPLACE FUNCTION {store}.add_signature(of_model text, of_sha256 text, bundle jsonb, who text)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO {store}.signature (model, sha256, bundle, who) VALUES ($1, $2, $3, $4) RETURNING signature_id
$$;

CREATE OR REPLACE FUNCTION {store}.add_comparison(of_model text, champion text, challenger text,
  snapshot_digest text, report jsonb)
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO {store}.comparison (model, champion_sha256, challenger_sha256, snapshot_digest, report)
    VALUES ($1, $2, $3, $4, $5) RETURNING comparison_id
$$;

-- Whether the request for a training stands: it is new, or the very one that was recorded before.
CREATE OR REPLACE FUNCTION {store}.ask_for_retraining(of_model text, due timestamptz, reason text, asked_by text,
  every interval)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM {store}.lock_name('retraining ' || of_model);
  IF EXISTS (SELECT FROM {store}.retraining q
      WHERE q.model = of_model AND q.as_of = due AND q.asked_by = $4) THEN
    RETURN true;
  ELSIF EXISTS (SELECT FROM {store}.retraining q WHERE q.model = of_model AND q.as_of > due - every) THEN
    RETURN false;
  END IF;
  INSERT INTO {store}.retraining (model, as_of, reason, asked_by) VALUES ($1, $2, $3, $4);
  RETURN true;
END $$;
