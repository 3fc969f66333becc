-- One row for each flight of the New York day that begins in the interval, with what was known at
-- 03:00 New York of that day (event_time), an hour before the run is due.
--
-- Every table is read as known by :as_of. Shares are integer counts divided once, at the end: sums
-- of floats would depend on the order in which rows lie on disk. No column tells how the flight
-- itself went: not its delay, and not its tail number, which only flights that left have.
WITH clock AS NOT MATERIALIZED (
  -- 03:00 and 04:00 New York are an hour apart on every day: clocks change at 02:00.
  SELECT :interval_end - interval '1 hour' AS event_time,
         date_trunc('day', :interval_end, 'America/New_York') AS day_start,
         date_trunc('day', :interval_end + interval '24 hours', 'America/New_York') AS day_end
),
flight AS (
  SELECT s.time_hour, s.carrier, s.flight, s.origin, s.dest, s.scheduled_departure, s.scheduled_arrival,
         c.event_time,
         count(*) OVER (PARTITION BY s.origin, s.time_hour)::int AS departures_same_hour,
         count(*) OVER (PARTITION BY s.origin)::int AS departures_same_day
  FROM clock c
  JOIN flights.schedule s ON s.scheduled_departure >= c.day_start AND s.scheduled_departure < c.day_end
  WHERE s.recorded_at <= :as_of
),
-- A reading is of use for 3 hours; older than that is the same as none.
reading AS (
  SELECT DISTINCT ON (w.origin) w.*
  FROM clock c
  JOIN flights.weather w ON w.recorded_at <= c.event_time AND w.recorded_at >= c.event_time - interval '3 hours'
  WHERE w.recorded_at <= :as_of
  ORDER BY w.origin, w.recorded_at DESC, w.time_hour DESC
),
-- Who arrived in the last 28 days, and how. The windows below are parts of this one scan.
arrived AS MATERIALIZED (
  SELECT a.carrier, a.flight, a.origin, a.dest, a.tailnum, (a.arr_delay >= 15)::int AS late,
         a.recorded_at > c.event_time - interval '24 hours' AS last_24h,
         a.recorded_at > c.event_time - interval '168 hours' AS last_7d
  FROM clock c
  JOIN flights.arrival a ON a.recorded_at <= c.event_time AND a.recorded_at > c.event_time - interval '672 hours'
  WHERE a.recorded_at <= :as_of
),
origin_24h AS (SELECT origin, sum(late)::float8 / count(*) AS late FROM arrived WHERE last_24h GROUP BY 1),
carrier_24h AS (SELECT carrier, sum(late)::float8 / count(*) AS late FROM arrived WHERE last_24h GROUP BY 1),
carrier_7d AS (SELECT carrier, sum(late)::float8 / count(*) AS late FROM arrived WHERE last_7d GROUP BY 1),
number_28d AS (
  SELECT carrier, flight, origin, count(*)::int AS arrivals, sum(late)::int AS late
  FROM arrived GROUP BY 1, 2, 3
),
-- The planes that the carrier flew on this route lately: which one it will be today is not known.
route_28d AS (
  SELECT a.carrier, a.origin, a.dest, count(*)::int AS arrivals, sum(a.late)::int AS late,
         sum(p.seats) AS seats, count(p.seats) AS planes_with_seats,
         sum(p.year) AS years, count(p.year) AS planes_with_year
  FROM arrived a
  LEFT JOIN flights.plane p ON p.tailnum = a.tailnum AND p.recorded_at <= :as_of
  GROUP BY 1, 2, 3
)
SELECT f.time_hour, f.carrier, f.flight, f.event_time, f.origin, f.dest,
       extract(isodow FROM f.scheduled_departure AT TIME ZONE 'America/New_York')::int AS day_of_week,
       (extract(epoch FROM (f.scheduled_departure AT TIME ZONE 'America/New_York')::time) / 60)::int
         AS departure_minute,
       (extract(epoch FROM f.scheduled_arrival - f.scheduled_departure) / 60)::int AS block_minutes,
       f.departures_same_hour,
       f.departures_same_day,
       airport.faa IS NOT NULL AS dest_in_registry,
       origin_24h.late AS origin_late_24h,
       carrier_24h.late AS carrier_late_24h,
       carrier_7d.late AS carrier_late_7d,
       coalesce(number_28d.arrivals, 0) AS flight_arrivals_28d,
       coalesce(number_28d.late, 0) AS flight_late_28d,
       coalesce(route_28d.arrivals, 0) AS route_arrivals_28d,
       coalesce(route_28d.late, 0) AS route_late_28d,
       route_28d.seats::float8 / nullif(route_28d.planes_with_seats, 0) AS fleet_seats,
       (extract(year FROM f.event_time AT TIME ZONE 'America/New_York')::int * route_28d.planes_with_year
         - route_28d.years)::float8 / nullif(route_28d.planes_with_year, 0) AS fleet_age,
       reading.temp AS weather_temp,
       reading.wind_speed AS weather_wind_speed,
       reading.wind_dir AS weather_wind_dir,
       CASE WHEN reading.origin IS NOT NULL THEN reading.wind_gust IS NOT NULL END AS weather_gusting,
       reading.dewp AS weather_dewp,
       reading.humid AS weather_humid,
       reading.precip AS weather_precip,
       reading.pressure AS weather_pressure,
       reading.visib AS weather_visib
FROM flight f
LEFT JOIN reading ON reading.origin = f.origin
LEFT JOIN origin_24h ON origin_24h.origin = f.origin
LEFT JOIN carrier_24h ON carrier_24h.carrier = f.carrier
LEFT JOIN carrier_7d ON carrier_7d.carrier = f.carrier
LEFT JOIN number_28d
  ON number_28d.carrier = f.carrier AND number_28d.flight = f.flight AND number_28d.origin = f.origin
LEFT JOIN route_28d
  ON route_28d.carrier = f.carrier AND route_28d.origin = f.origin AND route_28d.dest = f.dest
LEFT JOIN flights.airport ON airport.faa = f.dest AND airport.recorded_at <= :as_of
