"""A model in a notebook: ``rescore.Model("flight_delay")``.

The same functions that the DAGs call, with progress and results that a notebook shows well.
"""

from rescore.notebook.model import Model
from rescore.notebook.results import Compared, Evaluation, Fit, ModelPackage, PublishedRun, Snapshot

__all__ = ["Compared", "Evaluation", "Fit", "Model", "ModelPackage", "PublishedRun", "Snapshot"]
