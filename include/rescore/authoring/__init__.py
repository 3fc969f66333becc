"""Write a model folder from a table, and check one: from its SQL to what its features know of the future."""

from rescore.authoring.check import CheckResult, check_model
from rescore.authoring.draft import Draft
from rescore.authoring.new_model import new_model

__all__ = ["CheckResult", "Draft", "check_model", "new_model"]
