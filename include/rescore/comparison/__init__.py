"""Champion and challenger as numbers: what is measured of both, how sure a gain is, what the rule says.

Numbers in, values out: no database, no package, no file.
"""

from rescore.comparison.measurement import Judging, measured, movement
from rescore.comparison.report import (
    ComparedPackage,
    ComparisonReport,
    FirstPackage,
    FirstReport,
    HoldOut,
    MovedScores,
    Output,
    Promotion,
    Reproduced,
    Side,
    Target,
)
from rescore.comparison.rule import decide, ruled
from rescore.comparison.wording import Comparison, gain_in_words, number_in_words, signed_in_words

__all__ = [
    "ComparedPackage",
    "Comparison",
    "ComparisonReport",
    "FirstPackage",
    "FirstReport",
    "HoldOut",
    "Judging",
    "MovedScores",
    "Output",
    "Promotion",
    "Reproduced",
    "Side",
    "Target",
    "decide",
    "gain_in_words",
    "measured",
    "movement",
    "number_in_words",
    "ruled",
    "signed_in_words",
]
