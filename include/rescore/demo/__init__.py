"""Real data to try the platform on, and the guided demos."""

from rescore.demo.house_walkthrough import run_house_price
from rescore.demo.walkthrough import run_demo

__all__ = ["run_demo", "run_house_price"]
