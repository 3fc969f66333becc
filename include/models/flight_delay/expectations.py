"""What a day of flights must look like before it is scored.

Critical: the query or the load is broken, nothing can be trusted. Warning: this row's values can't
be true, so it is set aside with the reason. Info: worth a look, no more.
"""

import great_expectations as gx
import great_expectations.expectations as gxe

NEW_YORK_AIRPORTS = ["EWR", "JFK", "LGA"]
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]

#: What a thermometer, barometer or anemometer on the ground near New York can read, with room to
#: spare: records there are -15 and 107 °F, 950 and 1058 mbar, and gusts of 113 mph.
READINGS = {
    "weather_temp": (-40, 130),
    "weather_dewp": (-60, 95),
    "weather_humid": (0, 100),
    "weather_wind_speed": (0, 150),
    "weather_wind_dir": (0, 360),
    "weather_precip": (0, 10),
    "weather_pressure": (900, 1100),
    "weather_visib": (0, 100),
}
SHARES = ["origin_late_24h", "carrier_late_24h", "carrier_late_7d"]


def suite() -> gx.ExpectationSuite:
    """The expectations, each with its severity."""
    critical = [
        gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=NEW_YORK_AIRPORTS, severity="critical"),
        gxe.ExpectColumnValuesToMatchRegex(column="dest", regex="^[A-Z]{3}$", severity="critical"),
        gxe.ExpectColumnValuesToBeBetween(
            column="departure_minute", min_value=0, max_value=1439, severity="critical"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="day_of_week", min_value=1, max_value=7, severity="critical"
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=share, min_value=0, max_value=1, severity="critical")
            for share in SHARES
        ),
        *(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=f"{what}_arrivals_28d",
                column_B=f"{what}_late_28d",
                or_equal=True,
                severity="critical",
            )
            for what in ("flight", "route")
        ),
    ]
    warning = [
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, severity="warning")
            for name, (low, high) in READINGS.items()
        ),
        # The longest from New York is Honolulu; a wrong time zone or day shows here.
        gxe.ExpectColumnValuesToBeBetween(
            column="block_minutes", min_value=30, max_value=800, severity="warning"
        ),
    ]
    info = [
        # The model takes a carrier that it never saw for a missing one: it can score, less well.
        gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=CARRIERS, severity="info"),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column="dest", min_value=0.02, severity="info"),
        gxe.ExpectColumnValuesToNotBeNull(column="weather_pressure", mostly=0.7, severity="info"),
    ]
    return gx.ExpectationSuite(name="flight_delay", expectations=[*critical, *warning, *info])
