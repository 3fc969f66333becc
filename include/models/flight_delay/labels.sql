-- Whether each flight of the New York days in the range was 15 minutes late or more, as far as that is
-- known by :as_of. Works for one interval and for a long range. A flight that was cancelled or
-- diverted never arrived: it has no label, now or later.
SELECT s.time_hour, s.carrier, s.flight, a.arr_delay >= 15 AS late
FROM flights.schedule s
JOIN flights.arrival a ON a.time_hour = s.time_hour AND a.carrier = s.carrier AND a.flight = s.flight
-- Intervals end at 04:00 New York; each holds the flights of the day it ends on.
WHERE s.scheduled_departure >= date_trunc('day', :interval_start + interval '24 hours', 'America/New_York')
  AND s.scheduled_departure < date_trunc('day', :interval_end + interval '24 hours', 'America/New_York')
  AND s.recorded_at <= :as_of
  AND a.recorded_at <= :as_of
