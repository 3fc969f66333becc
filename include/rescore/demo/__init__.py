"""Real data to try the platform on, and the guided demos."""

from rescore.demo.flights_walkthrough import run_demo
from rescore.demo.house_walkthrough import run_house_price

__all__ = ["run_demo", "run_house_price"]
