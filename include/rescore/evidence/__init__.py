"""Evidence over windows: what they are worth where they resemble each other, and when they raise an alarm.

Numbers in, values out. What a window's statistic is of, features or outcomes, is not known here.
"""

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.evidence.detector import Alarm, Evidence, Look, accumulate, limit_of
    from rescore.evidence.ranks import mid_ranks
    from rescore.evidence.window_memory import effective_windows, without_memory

__all__ = [
    "Alarm",
    "Evidence",
    "Look",
    "accumulate",
    "effective_windows",
    "limit_of",
    "mid_ranks",
    "without_memory",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
