"""What a DAG run is asked to do: its Params, checked, as a value."""

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
