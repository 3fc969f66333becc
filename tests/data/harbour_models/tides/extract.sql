SELECT gauge, reading, measured_at, pressure, moon, wind
FROM harbour.readings
WHERE measured_at >= :interval_start AND measured_at < :interval_end AND recorded_at <= :as_of
