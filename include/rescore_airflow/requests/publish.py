"""Which run a run of ``publish_<model>`` is to publish, and who releases it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Param

from rescore.errors import ParameterError
from rescore_airflow.requests.typed_params import check_conf, person_behind, text_of, text_param

__all__ = ["ReleaseRequest", "release_params", "release_request"]


def release_params() -> dict[str, Param]:
    """The Params of ``publish_<model>``."""
    return {
        "run_id": text_param("Run", "The id of the run that is held or was stopped, as the page shows it."),
        "reason": text_param(
            "Reason",
            "Why its scores are published all the same; shown beside them with your name. If it is empty, a "
            "person is asked under Required Actions.",
            maxLength=2000,
        ),
    }


@dataclass(frozen=True)
class ReleaseRequest:
    """The run to release, by whom and why; ``who`` and ``why`` are None if somebody still has to be asked."""

    run_id: str
    who: str | None = None
    why: str | None = None


def release_request(dag_run: Any, params: Mapping[str, Any]) -> ReleaseRequest:
    """Read the Params of a run of ``publish_<model>``.

    Raises
    ------
    ParameterError
        An unknown Param, no run, or a reason that no person gives.
    """
    check_conf(dag_run.conf, release_params())
    run_id, why = text_of(params, "run_id"), text_of(params, "reason")
    if run_id is None:
        raise ParameterError(
            "no run is named",
            where="Param run_id",
            expected="the id of a run that is held or was stopped",
            fix="take it from the Rescore page, or from scores.status (attempt_run_id)",
        )
    if why is None:
        return ReleaseRequest(run_id)
    who = person_behind(
        dag_run, "a reason is given", name="reason", fix="leave the reason empty; a person is asked then"
    )
    return ReleaseRequest(run_id, who, why)
