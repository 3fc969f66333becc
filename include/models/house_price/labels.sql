-- What the houses listed in the range were sold for, as far as that is recorded by :as_of.
SELECT l.listing_id, s.price::float8 AS price
FROM ames.listing l
JOIN ames.sale s ON s.listing_id = l.listing_id
WHERE l.listed_at >= :interval_start
  AND l.listed_at < :interval_end
  AND l.recorded_at <= :as_of
  AND s.recorded_at <= :as_of
