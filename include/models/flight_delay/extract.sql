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
-- Arrivals of the last 28 days, counted once; what follows adds these counts up. The planes are those
-- that flew lately: which one it will be today is not known.
arrived AS MATERIALIZED (
  SELECT a.carrier, a.flight, a.origin, a.dest,
         count(*) AS all_28d,
         count(*) FILTER (WHERE a.arr_delay >= 15) AS late_28d,
         count(*) FILTER (WHERE a.recorded_at > c.event_time - interval '168 hours') AS all_7d,
         count(*) FILTER (WHERE a.arr_delay >= 15 AND a.recorded_at > c.event_time - interval '168 hours')
           AS late_7d,
         count(*) FILTER (WHERE a.recorded_at > c.event_time - interval '24 hours') AS all_24h,
         count(*) FILTER (WHERE a.arr_delay >= 15 AND a.recorded_at > c.event_time - interval '24 hours')
           AS late_24h,
         sum(p.seats) AS seats, count(p.seats) AS planes_with_seats,
         sum(p.year) AS years, count(p.year) AS planes_with_year
  FROM clock c
  JOIN flights.arrival a ON a.recorded_at <= c.event_time AND a.recorded_at > c.event_time - interval '672 hours'
  LEFT JOIN flights.plane p ON p.tailnum = a.tailnum AND p.recorded_at <= :as_of
  WHERE a.recorded_at <= :as_of
  GROUP BY 1, 2, 3, 4
),
by_origin AS (
  SELECT origin, sum(late_24h)::float8 / nullif(sum(all_24h), 0)::float8 AS late_24h
  FROM arrived GROUP BY 1
),
by_carrier AS (
  SELECT carrier,
         sum(late_24h)::float8 / nullif(sum(all_24h), 0)::float8 AS late_24h,
         sum(late_7d)::float8 / nullif(sum(all_7d), 0)::float8 AS late_7d
  FROM arrived GROUP BY 1
),
by_number AS (
  SELECT carrier, flight, origin, sum(all_28d)::int AS arrivals, sum(late_28d)::int AS late
  FROM arrived GROUP BY 1, 2, 3
),
by_route AS (
  SELECT carrier, origin, dest, sum(all_28d)::int AS arrivals, sum(late_28d)::int AS late,
         sum(seats)::float8 / nullif(sum(planes_with_seats), 0)::float8 AS seats,
         sum(planes_with_year)::int AS planes_with_year, sum(years)::int AS years
  FROM arrived GROUP BY 1, 2, 3
)
SELECT f.time_hour, f.carrier, f.flight, f.event_time, f.origin, f.dest,
       extract(isodow FROM f.scheduled_departure AT TIME ZONE 'America/New_York')::int AS day_of_week,
       (extract(epoch FROM (f.scheduled_departure AT TIME ZONE 'America/New_York')::time) / 60)::int
         AS departure_minute,
       (extract(epoch FROM f.scheduled_arrival - f.scheduled_departure) / 60)::int AS block_minutes,
       f.departures_same_hour,
       f.departures_same_day,
       airport.faa IS NOT NULL AS dest_in_registry,
       by_origin.late_24h AS origin_late_24h,
       by_carrier.late_24h AS carrier_late_24h,
       by_carrier.late_7d AS carrier_late_7d,
       coalesce(by_number.arrivals, 0) AS flight_arrivals_28d,
       coalesce(by_number.late, 0) AS flight_late_28d,
       coalesce(by_route.arrivals, 0) AS route_arrivals_28d,
       coalesce(by_route.late, 0) AS route_late_28d,
       by_route.seats AS fleet_seats,
       (extract(year FROM f.event_time AT TIME ZONE 'America/New_York')::int * by_route.planes_with_year
         - by_route.years)::float8 / nullif(by_route.planes_with_year, 0) AS fleet_age,
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
LEFT JOIN by_origin ON by_origin.origin = f.origin
LEFT JOIN by_carrier ON by_carrier.carrier = f.carrier
LEFT JOIN by_number
  ON by_number.carrier = f.carrier AND by_number.flight = f.flight AND by_number.origin = f.origin
LEFT JOIN by_route
  ON by_route.carrier = f.carrier AND by_route.origin = f.origin AND by_route.dest = f.dest
LEFT JOIN flights.airport ON airport.faa = f.dest AND airport.recorded_at <= :as_of
