"""What a run asks for: Params and intervals become values, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Param
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from rescore.errors import FourEyesError, IntervalError, ParameterError
from rescore.folder import load_model
from rescore.interval import Interval
from rescore.spec import ModelSpec
from rescore_airflow.requests.publish import ReleaseRequest, release_request
from rescore_airflow.requests.reproduce import reproduce_params, reproduce_request
from rescore_airflow.requests.score import ScoreRequest, score_params, score_request
from rescore_airflow.requests.train import TrainRequest, train_params, train_request
from rescore_airflow.requests.typed_params import CheckedParam

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = Interval.parse("2024-02-01T00:00:00Z/2024-02-02T00:00:00Z")
NAMED = {"interval_start": "2024-02-01T00:00:00Z", "interval_end": "2024-02-02T01:00:00+01:00"}


@pytest.fixture
def spec(models: Path) -> ModelSpec:
    return load_model(models, "tides").spec


def score(
    spec: ModelSpec,
    conf: Mapping[str, Any],
    *,
    own: Interval | None,
    kind: str,
    logical_date: datetime | None = None,
) -> ScoreRequest:
    run = SimpleNamespace(
        conf=conf,
        run_type=kind,
        run_after=NOW,
        logical_date=logical_date,
        data_interval_start=own and own.start,
        data_interval_end=own and own.end,
    )
    return score_request(spec, context_of(run, score_params(spec)), now=NOW)


def context_of(run: Any, declared: Mapping[str, Param]) -> dict[str, Any]:
    """What Airflow gives a task of a DAG that declares these Params."""
    defaults = {name: param.value for name, param in declared.items()}
    return {"dag_run": run, "params": {**defaults, **run.conf}, "dag": SimpleNamespace(params=declared)}


def train(
    spec: ModelSpec, conf: Mapping[str, Any], *, who: str | None = "ada", kind: str = "manual"
) -> TrainRequest:
    run = SimpleNamespace(conf=conf, run_after=NOW, run_type=kind, triggering_user_name=who)
    return train_request(spec, context_of(run, train_params(spec)), now=NOW)


def reproduce(conf: Mapping[str, Any]) -> Any:
    defaults = {name: param.value for name, param in reproduce_params(["tides"]).items()}
    return reproduce_request(conf, {**defaults, **conf})


# --- scoring ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["scheduled", "backfill"])
def test_a_run_of_the_schedule_has_its_own_interval(spec: ModelSpec, kind: str) -> None:
    assert score(spec, {}, own=DAY, kind=kind) == ScoreRequest(DAY, None, "never", False)
    assert score(spec, {}, own=DAY, kind=kind).known_by == DAY.end


def test_params_name_the_interval_of_a_run_started_by_hand(spec: ModelSpec) -> None:
    assert score(spec, NAMED, own=None, kind="manual").interval == DAY
    # The UI proposes the present moment as logical date, which brings an interval nobody meant.
    yesterday = Interval.parse("2024-02-29T00:00:00Z/2024-03-01T00:00:00Z")
    assert score(spec, NAMED, own=yesterday, kind="manual").interval == DAY


@pytest.mark.parametrize(
    ("kind", "moment"), [("scheduled", DAY.end), ("manual", DAY.end), ("asset_triggered", None)]
)
def test_a_run_that_spans_no_time_is_for_the_last_interval_that_had_ended(
    spec: ModelSpec, kind: str, moment: datetime | None
) -> None:
    run_after = DAY.end.replace(hour=17)
    run = SimpleNamespace(
        conf={}, run_type=kind, run_after=run_after, data_interval_start=moment, data_interval_end=moment
    )
    assert score_request(spec, context_of(run, {}), now=NOW).interval == DAY
    run.run_after = datetime(2001, 1, 1, tzinfo=UTC)
    run.data_interval_start = run.data_interval_end = moment and run.run_after
    with pytest.raises(ParameterError, match="names no interval"):
        score_request(spec, context_of(run, {}), now=NOW)  # before the schedule's first


@pytest.mark.parametrize("kind", ["manual", "operator_triggered", "asset_materialization", "asset_triggered"])
def test_params_name_the_interval_however_the_run_was_started(spec: ModelSpec, kind: str) -> None:
    yesterday = Interval.parse("2024-02-29T00:00:00Z/2024-03-01T00:00:00Z")
    assert score(spec, NAMED, own=yesterday, kind=kind, logical_date=NOW).interval == DAY


@pytest.mark.parametrize("hours", [0, 30])
def test_a_run_that_another_dag_started_is_for_its_logical_date(spec: ModelSpec, hours: int) -> None:
    # Airflow's own data interval of such a run is that of the moment at which it was started.
    yesterday = Interval.parse("2024-02-29T00:00:00Z/2024-03-01T00:00:00Z")
    meant = DAY.start + timedelta(hours=hours)
    request = score(spec, {}, own=yesterday, kind="operator_triggered", logical_date=meant)
    assert request.interval == DAY
    at_end = Interval(DAY.end, DAY.end + timedelta(days=1))
    request = score(spec, {}, own=yesterday, kind="operator_triggered", logical_date=DAY.end)
    assert request.interval == at_end
    now = score(spec, {}, own=yesterday, kind="operator_triggered", logical_date=NOW)
    assert now.interval == yesterday


def test_a_dag_of_ones_own_adds_its_params_and_may_leave_out_ours(spec: ModelSpec) -> None:
    start = DAY.start
    run = SimpleNamespace(
        conf={"full_refresh": True, **NAMED},
        run_type="manual",
        data_interval_start=start,
        data_interval_end=start,
    )
    request = score_request(spec, context_of(run, {"full_refresh": Param(False)}), now=NOW)
    assert request == ScoreRequest(DAY, None, "never", False)
    run.conf["interval_strat"] = "2024-02-01"
    with pytest.raises(ParameterError, match="interval_strat"):
        score_request(spec, context_of(run, {"full_refresh": Param(False)}), now=NOW)


def test_without_a_logical_date_the_params_are_needed(spec: ModelSpec) -> None:
    with pytest.raises(ParameterError, match="names no interval") as caught:
        score(spec, {}, own=None, kind="manual")
    assert "interval_start" in str(caught.value)


def test_a_backfill_keeps_its_own_intervals(spec: ModelSpec) -> None:
    other = Interval.parse("2024-02-05T00:00:00Z/2024-02-06T00:00:00Z")
    with pytest.raises(ParameterError, match="this backfill run is for"):
        score(spec, NAMED, own=other, kind="backfill")


@pytest.mark.parametrize(
    ("conf", "error", "says"),
    [
        ({"intervall_start": "2024-02-01T00:00:00Z"}, ParameterError, "did you mean 'interval_start'"),
        ({"interval_start": "2024-02-01T00:00:00Z"}, ParameterError, "interval_end is not"),
        ({**NAMED, "interval_start": "2024-02-01"}, IntervalError, "no time zone"),
        ({**NAMED, "interval_start": "yesterday"}, IntervalError, "not a moment"),
        ({**NAMED, "interval_start": "2024-02-01T06:00:00Z"}, IntervalError, "not one of the schedule's"),
        (
            {"interval_start": "2024-03-01T00:00:00Z", "interval_end": "2024-03-02T00:00:00Z"},
            IntervalError,
            "has not ended",
        ),
        (
            {"interval_start": "2023-01-01T00:00:00Z", "interval_end": "2023-01-02T00:00:00Z"},
            IntervalError,
            "outside the schedule",
        ),
        ({**NAMED, "as_of": "2024-02-01T12:00:00Z"}, ParameterError, "before the interval's end"),
        ({**NAMED, "as_of": "2024-03-02T12:00:00Z"}, ParameterError, "in the future"),
        ({**NAMED, "as_of": 5}, ParameterError, "as_of is 5"),
    ],
)
def test_what_can_not_be_scored_is_said(
    spec: ModelSpec, conf: Mapping[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        score(spec, conf, own=None, kind="manual")
    assert says in str(caught.value)


def test_a_model_that_drifts_into_retraining_says_so_by_default(spec: ModelSpec) -> None:
    assert score_params(spec)["retrain"].value == "never"
    drifting = spec.model_copy(update={"drift": spec.drift.model_copy(update={"on_drift": "retrain"})})
    assert score_params(drifting)["retrain"].value == "when_due"


# --- training --------------------------------------------------------------------------------


def test_a_training_without_params_knows_the_same_at_every_retry(spec: ModelSpec) -> None:
    request = train(spec, {})
    assert request == TrainRequest(None, datetime(2024, 3, 1, tzinfo=UTC), True, None, None, "ada")


def test_starting_a_training_with_a_reason_is_that_persons_approval(spec: ModelSpec) -> None:
    request = train(spec, {"approve": "now", "reason": " first package "})
    assert (request.approved_by, request.reason) == ("ada", "first package")


@pytest.mark.parametrize(
    ("conf", "who", "says"),
    [
        ({"approve": "now"}, "ada", "no reason"),
        ({"approve": "now", "reason": "because"}, None, "no person started"),
        ({"approve": "now", "reason": "because", "pin": False}, "ada", "pin is off"),
        ({"start": "2024-02-01T00:00:00Z"}, "ada", "end is not"),
        ({"pinn": True}, "ada", "did you mean 'pin'"),
    ],
)
def test_an_approval_needs_a_person_and_a_reason(
    spec: ModelSpec, conf: Mapping[str, Any], who: str | None, says: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        train(spec, conf, who=who)
    assert says in str(caught.value)


def test_what_another_dag_wrote_is_no_persons_word(spec: ModelSpec) -> None:
    conf = {"approve": "now", "reason": "because"}
    with pytest.raises(ParameterError, match="no person started this run"):
        train(spec, conf, kind="operator_triggered")
    release = {"run_id": "r1", "reason": "because"}
    run = SimpleNamespace(conf=release, run_type="operator_triggered", triggering_user_name="ada")
    with pytest.raises(ParameterError, match="no person started this run"):
        release_request(run, release)
    run.run_type = "manual"
    assert release_request(run, release) == ReleaseRequest("r1", "ada", "because")


def test_who_trains_is_who_started_the_run_or_the_dag_before_it(spec: ModelSpec) -> None:
    assert train(spec, {}).trained_by == "ada"
    assert train(spec, {"asked_by": "grace"}, who=None).trained_by == "grace"
    assert train(spec, {"asked_by": "ada"}).trained_by == "ada"  # Airflow 3.3 says it, too
    assert train(spec, {}, who=None).trained_by == "schedule"
    with pytest.raises(ParameterError, match="asked_by is grace, but ada started this run"):
        train(spec, {"asked_by": "grace"})


def test_four_eyes_are_not_those_of_who_starts_the_training(spec: ModelSpec) -> None:
    careful = spec.model_copy(
        update={"promotion": spec.promotion.model_copy(update={"approval": "four_eyes"})}
    )
    with pytest.raises(FourEyesError, match="ada trains tides, and ada would approve it"):
        train(careful, {"approve": "now", "reason": "because"})


def test_a_window_that_labels_can_not_cover_is_refused(spec: ModelSpec) -> None:
    window = {"start": "2024-02-01T00:00:00Z", "end": "2024-02-20T00:00:00Z"}
    assert train(spec, window).window == Interval.parse(f"{window['start']}/{window['end']}")
    with pytest.raises(IntervalError, match="ends after"):
        train(spec, {**window, "as_of": "2024-02-10T00:00:00Z"})


# --- reproducing -----------------------------------------------------------------------------


def test_one_way_of_naming_runs_at_a_time() -> None:
    assert reproduce({}).sample == 5
    assert reproduce({"model": "tides", **NAMED}).interval == DAY
    assert reproduce({"model": "tides", "day": "2024-02-02"}).day == date(2024, 2, 2)
    for conf, says in [
        ({"run_id": "a", "day": "2024-02-02", "model": "tides"}, "run_id and day both name runs"),
        ({"day": "2024-02-02"}, "without a model"),
        ({"model": "tides", "day": "2 Feb"}, "not a date"),
        ({"samples": 3}, "did you mean 'sample'"),
    ]:
        with pytest.raises(ParameterError) as caught:
            reproduce(conf)
        assert says in str(caught.value)


# --- Params as Airflow has them --------------------------------------------------------------


def test_a_param_that_is_checked_once_is_stored_and_judged_as_airflows_own() -> None:
    schema = {"type": "string", "enum": ["never", "always"], "title": "Retrain"}
    stored = []
    for kind in (Param, CheckedParam):
        with DAG("asks", schedule=None, params={"retrain": kind("never", "Whether.", **schema)}) as dag:
            pass
        stored.append(DagSerialization.to_dict(dag)["dag"]["params"])
        dag.params["retrain"] = "always"
        assert dag.params["retrain"] == "always"
        for _ in range(2):
            with pytest.raises(ParamValidationError, match="someday"):
                dag.params["retrain"] = "someday"
        assert dag.params["retrain"] == "always"
        for _ in range(2):
            with (
                pytest.raises(ValueError, match="default values are not valid"),
                DAG("asks", schedule="@daily", params={"retrain": kind("someday", "Whether.", **schema)}),
            ):
                pass
    assert stored[0] == stored[1]
