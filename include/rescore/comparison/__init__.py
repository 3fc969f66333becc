"""Champion and challenger as numbers: what is measured of both, how sure a gain is, what the rule says.

Numbers in, values out: no database, no package, no file.
"""

from rescore.comparison.error_budget import ERROR_A_YEAR, Asked, error_of, place_in_year
from rescore.comparison.measurement import Judging, measured, movement
from rescore.comparison.report import (
    ComparedPackage,
    ComparisonReport,
    FirstPackage,
    FirstReport,
    HoldOut,
    MovedScores,
    Promotion,
    Reproduced,
    Side,
    SureGain,
)
from rescore.comparison.rule import decide, ruled
from rescore.comparison.wording import Comparison, gain_in_words, number_in_words, signed_in_words

__all__ = [
    "ERROR_A_YEAR",
    "Asked",
    "ComparedPackage",
    "Comparison",
    "ComparisonReport",
    "FirstPackage",
    "FirstReport",
    "HoldOut",
    "Judging",
    "MovedScores",
    "Promotion",
    "Reproduced",
    "Side",
    "SureGain",
    "decide",
    "error_of",
    "gain_in_words",
    "measured",
    "movement",
    "number_in_words",
    "place_in_year",
    "ruled",
    "signed_in_words",
]
