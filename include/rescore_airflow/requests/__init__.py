"""What a DAG run is asked to do: its Params, checked, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore_airflow.requests.erase import erase_params, erase_request
    from rescore_airflow.requests.publish import release_params, release_request
    from rescore_airflow.requests.reproduce import chosen_runs, reproduce_params, reproduce_request
    from rescore_airflow.requests.score import ScoreRequest, score_params, score_request
    from rescore_airflow.requests.train import train_params, train_request
    from rescore_airflow.requests.typed_params import text_of, text_param

__all__ = [
    "ScoreRequest",
    "chosen_runs",
    "erase_params",
    "erase_request",
    "release_params",
    "release_request",
    "reproduce_params",
    "reproduce_request",
    "score_params",
    "score_request",
    "text_of",
    "text_param",
    "train_params",
    "train_request",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
