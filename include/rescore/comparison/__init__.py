"""Champion and challenger as numbers: what is measured of both, how sure a gain is, what the rule says.

Numbers in, values out: no database, no package, no file.
"""

from rescore.comparison.error_budget import ERROR_A_YEAR, Asked, error_of, place_in_year
from rescore.comparison.measurement import Judging, daily_gains, detectable_before, measured, movement
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
from rescore.comparison.rule import decide, in_shadow, ruled
from rescore.comparison.shadow import Shadow, ShadowTerms, evidence_by_day, loss_of, shadow_after
from rescore.comparison.wording import (
    Comparison,
    gain_in_words,
    number_in_words,
    said_of_shadow,
    signed_in_words,
)

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
    "Shadow",
    "ShadowTerms",
    "Side",
    "SureGain",
    "daily_gains",
    "decide",
    "detectable_before",
    "error_of",
    "evidence_by_day",
    "gain_in_words",
    "in_shadow",
    "loss_of",
    "measured",
    "movement",
    "number_in_words",
    "place_in_year",
    "ruled",
    "said_of_shadow",
    "shadow_after",
    "signed_in_words",
]
