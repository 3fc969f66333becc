-- How a function of the protocol says no: an SQLSTATE of our own, which rescore.store.refusals turns into
-- an error of the tree, with what the error holds as JSON in DETAIL; and the words that messages share.

CREATE OR REPLACE FUNCTION {store}.refuse(code text, message text, details jsonb, fix text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = details::text, HINT = coalesce(fix, '');
END $$;

-- A moment as Python's isoformat() writes one in UTC, without its offset.
CREATE OR REPLACE FUNCTION {store}.moment_text(moment timestamptz)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT to_char(moment AT TIME ZONE 'UTC', CASE
    WHEN moment = date_trunc('second', moment) THEN 'YYYY-MM-DD"T"HH24:MI:SS'
    ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US' END)
$$;

CREATE OR REPLACE FUNCTION {store}.interval_text(interval_start timestamptz, interval_end timestamptz)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT {store}.moment_text(interval_start) || 'Z/' || {store}.moment_text(interval_end) || 'Z'
$$;

CREATE OR REPLACE FUNCTION {store}.count_text(number bigint)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(to_char(number, 'FM999,999,999,999,999,990'), 'none')
$$;

CREATE OR REPLACE FUNCTION {store}.is_blank(words text)
RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(words, '') !~ '\S'
$$;
