"""The step of a scoring run that starts a training when it is asked to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.failures import fail_typed
from rescore_airflow.score_request import score_request

__all__ = ["Retrain"]


class Retrain(TriggerDagRunOperator):
    """Start ``train_<model>`` as the Params ``retrain`` and ``wait`` say; else skip.

    The training sees what was known when the interval ended, so that a backfill trains what the
    scheduled run would have trained.
    """

    def __init__(self, *, model: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=f"train_{model}",
            deferrable=True,
            poke_interval=20,
            # A run of a paused DAG would stay queued, and this one wait for it for ever.
            fail_when_dag_is_paused=True,
            # It would add a key to the conf, and unknown keys are refused.
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.model = model
        self._spec = spec

    @fail_typed
    def execute(self, context: Any) -> None:
        """Trigger the training, or skip with the reason."""
        from rescore import pipeline

        params = context["params"]
        request = score_request(self._spec, context["dag_run"], params, now=datetime.now(UTC))
        if params["retrain"] == "never":  # the gate has skipped it, but a person may clear it alone
            raise AirflowSkipException("Param retrain is never: scoring uses the pinned package")
        if params["retrain"] == "when_due":
            due, reason = pipeline.when_due(pipeline_context(), self.model, request.known_by)
            if not due:
                raise AirflowSkipException(f"no retraining is due: {reason}")
            under_way = context["ti"].get_dr_count(dag_id=self.trigger_dag_id, states=["queued", "running"])
            if under_way:
                raise AirflowSkipException(f"retraining is due ({reason}), and one is under way already")
            self.log.info("retraining is due: %s", reason)
        self.conf = {"as_of": request.known_by.isoformat()}
        self.wait_for_completion = bool(params["wait"])
        start = request.interval.start.strftime("%Y-%m-%dT%H:%MZ")
        self.trigger_run_id = f"score__{start}__{context['ti'].id}"
        super().execute(context)
