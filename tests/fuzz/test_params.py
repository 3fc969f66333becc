"""DAG Params and confs with hostile keys and values: a request, or an error of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import given
from hypothesis import strategies as st

from rescore.folder import load_model
from rescore_airflow.requests.erase import erase_params, erase_request
from rescore_airflow.requests.publish import release_params, release_request
from rescore_airflow.requests.reproduce import reproduce_params, reproduce_request
from rescore_airflow.requests.score import score_params, score_request
from rescore_airflow.requests.train import train_params, train_request
from tests.fuzz.hostile import fuzzed, hostile_texts, refusals
from tests.shared.harbour import MODELS

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SPEC = load_model(MODELS, "tides").spec

#: The Params of each DAG, and what reads them from a DAG run and its context.
DAGS: dict[str, tuple[dict[str, Param], Callable[[Any, Mapping[str, Any]], Any]]] = {
    "score": (score_params(SPEC), lambda _, context: score_request(SPEC, context, now=NOW)),
    "train": (train_params(SPEC), lambda _, context: train_request(SPEC, context, now=NOW)),
    "publish": (release_params(), lambda run, context: release_request(run, context["params"])),
    "reproduce": (
        reproduce_params(["tides"]),
        lambda run, context: reproduce_request(run.conf, context["params"]),
    ),
    "erase_subject": (erase_params(), lambda run, context: erase_request(run.conf, context["params"])),
}
VALUES = st.one_of(
    hostile_texts, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(hostile_texts, max_size=2)
)


@fuzzed
@given(st.sampled_from([*DAGS]), st.data())
def test_a_conf_gives_a_request_or_an_error_of_ours(name: str, data: st.DataObject) -> None:
    params, read = DAGS[name]
    keys = (
        st.one_of(st.sampled_from([*params]), hostile_texts)
        if data.draw(st.booleans())
        else st.sampled_from([*params])
    )
    conf = data.draw(st.dictionaries(keys, VALUES, max_size=3))
    values = {}
    for key, param in params.items():
        try:  # as Airflow does before a run begins, and does again in its tasks
            values[key] = param.resolve(conf[key]) if key in conf else param.value
        except ParamValidationError:
            return
    run = SimpleNamespace(
        conf=conf,
        run_type="manual",
        run_after=NOW,
        data_interval_start=None,
        data_interval_end=None,
        triggering_user_name="ada",
    )
    with refusals():
        read(run, {"dag_run": run, "params": conf | values, "dag": SimpleNamespace(params=params)})
