"""Real data to try the platform on, and the guided demo."""

from rescore.demo.walkthrough import run_demo

__all__ = ["run_demo"]
