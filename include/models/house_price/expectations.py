"""What a month of listings must look like before it is scored.

Critical: the feed is broken, nothing can be trusted. Warning: this row's values can't be true, so it is set
aside with the reason. Info: worth a look, no more.
"""

import great_expectations as gx
import great_expectations.expectations as gxe

RATINGS = {
    "overall_quality": (1, 10),
    "overall_condition": (1, 10),
    "exterior_quality": (1, 5),
    "kitchen_quality": (1, 5),
    "heating_quality": (1, 5),
    "basement_quality": (1, 5),
}


def suite() -> gx.ExpectationSuite:
    """The expectations, each with its severity."""
    critical = [
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, severity="critical")
            for name, (low, high) in RATINGS.items()
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="listing_month", min_value=1, max_value=12, severity="critical"
        ),
        # Not one small house is a fault of the feed, but half of them are: square metres, say.
        gxe.ExpectColumnMedianToBeBetween(
            column="living_area", min_value=700, max_value=3000, severity="critical"
        ),
    ]
    warning = [
        gxe.ExpectColumnValuesToBeBetween(
            column="living_area", min_value=200, max_value=10_000, severity="warning"
        ),
        # Sold from plans is possible, two years ahead at most; a garage of the year 2207 is not.
        gxe.ExpectColumnValuesToBeBetween(column="age", min_value=-2, max_value=250, severity="warning"),
        gxe.ExpectColumnValuesToBeBetween(
            column="garage_age", min_value=-2, max_value=250, severity="warning"
        ),
        # Remodelled before it was built.
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="age", column_B="since_remodel", or_equal=True, severity="warning"
        ),
    ]
    info = [gxe.ExpectColumnValuesToNotBeNull(column="lot_frontage", mostly=0.6, severity="info")]
    return gx.ExpectationSuite(name="house_price", expectations=[*critical, *warning, *info])
