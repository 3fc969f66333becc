-- Readings by formula, so that every harbour is the same. Each is recorded ten minutes after it is
-- made; the level of an hour ahead stands in the row, which the extract never reads.
-- Parameters: first (timestamptz), hours (int).
CREATE SCHEMA harbour;
CREATE TABLE harbour.loaded (loaded_until timestamptz NOT NULL);
CREATE TABLE harbour.readings (
  gauge text, reading int, measured_at timestamptz, pressure float8, moon float8, wind text, level float8,
  recorded_at timestamptz);
INSERT INTO harbour.readings
SELECT gauge, hour, moment, 1000 + 20 * sin(hour / 37.0) + 3 * sin(hour * 1.7 + length(gauge)),
       mod(hour / 24.0, 29.5), (ARRAY['north', 'east', 'south', 'west'])[1 + mod(hour * 7 / 5, 4)],
       3 * sin(hour / 12.4 * 6.283) + cos(hour / 24.0 / 29.5 * 6.283) + length(gauge) / 10.0,
       moment + interval '10 minutes'
FROM unnest(ARRAY['pier', 'lock', 'buoy']) gauge,
     generate_series(0, %(hours)s - 1) hour,
     LATERAL (SELECT %(first)s::timestamptz + hour * interval '1 hour' AS moment) at;
INSERT INTO harbour.loaded VALUES (%(first)s::timestamptz + %(hours)s * interval '1 hour');
