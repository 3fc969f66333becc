"""What a day of readings has to look like."""

import great_expectations as gx
import great_expectations.expectations as gxe


def suite():
    """Return the suite."""
    return gx.ExpectationSuite(
        name="tides",
        expectations=[
            gxe.ExpectColumnValuesToBeBetween(
                column="pressure", min_value=850, max_value=1100, severity="warning"
            ),
            gxe.ExpectTableRowCountToBeBetween(min_value=10, severity="critical"),
        ],
    )
