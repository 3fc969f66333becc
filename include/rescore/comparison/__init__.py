"""Champion and challenger as numbers: what is measured of both, how sure a gain is, what the rule says.

Numbers in, values out: no database, no package, no file.
"""

from rescore.comparison.measurement import measured, movement
from rescore.comparison.rule import Comparison

__all__ = ["Comparison", "measured", "movement"]
