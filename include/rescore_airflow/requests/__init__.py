"""What a DAG run is asked to do: its Params, checked, as a value."""

from rescore_airflow.requests.params import check_conf, text_param
from rescore_airflow.requests.reproduce import chosen_runs, reproduce_params, reproduce_request
from rescore_airflow.requests.score import ScoreRequest, score_params, score_request
from rescore_airflow.requests.train import TrainRequest, train_params, train_request

__all__ = [
    "ScoreRequest",
    "TrainRequest",
    "check_conf",
    "chosen_runs",
    "reproduce_params",
    "reproduce_request",
    "score_params",
    "score_request",
    "text_param",
    "train_params",
    "train_request",
]
