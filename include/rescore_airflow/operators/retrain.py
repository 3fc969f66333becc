"""The steps that start a training: one of a scoring run, one of the monitor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import DagIsPaused, TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DagRunTriggerException

from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.requests import score_request

__all__ = ["Retrain", "RetrainIfDue"]


class _TrainingStarter(TriggerDagRunOperator):
    def __init__(self, *, model_name: str, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=f"train_{model_name}",
            deferrable=True,
            poke_interval=20,
            # A run of a paused DAG would stay queued, and this one would wait for it for ever.
            fail_when_dag_is_paused=True,
            # It would add a key to the conf, and unknown keys are refused.
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.model_name = model_name

    def _start(
        self, context: Any, as_of: datetime, *, name: str, only_if_due: bool, wait: bool = False
    ) -> None:
        """Start a training of what is known at ``as_of``; skip if none is due, or one is under way."""
        from rescore import pipeline

        if only_if_due:
            # A training is under way, too, while its challenger waits for approval.
            if context["ti"].get_dr_count(dag_id=self.trigger_dag_id, states=["queued", "running"]):
                raise AirflowSkipException(f"a run of {self.trigger_dag_id} is under way: it decides first")
            who = f"{context['dag'].dag_id} {context['run_id']}"
            with pipeline_context() as ctx:
                retraining = pipeline.ask_for_retraining(
                    ctx, self.model_name, as_of, asked_by=who, check=lambda: self._refuse_paused(context)
                )
            if not retraining.due:
                raise AirflowSkipException(f"no retraining is due: {retraining.reason}")
            self.log.info("retraining is due: %s", retraining.reason)
        self.conf = {"as_of": as_of.isoformat()}
        if context["dag_run"].triggering_user_name:
            self.conf["asked_by"] = str(context["dag_run"].triggering_user_name)
        self.wait_for_completion = wait
        self.trigger_run_id = f"{name}__{context['ti'].id}"
        super().execute(context)

    def _refuse_paused(self, context: Any) -> None:
        if context["ti"].get_dag(self.trigger_dag_id).is_paused:
            raise DagIsPaused(dag_id=self.trigger_dag_id)

    @fail_typed
    def execute_complete(self, context: Any, event: tuple[str, dict[str, Any]]) -> None:
        """Go on once the training has ended; one that failed is not started again by a retry."""
        try:
            super().execute_complete(context, event)
        except Exception as error:
            raise AirflowFailException(f"the training that this run waits for has failed: {error}") from error


class Retrain(_TrainingStarter):
    """Start ``train_<model>`` as the Params ``retrain`` and ``wait`` of a scoring run say; else skip.

    A training that can't be started (its DAG is paused, the labels can't be read) keeps nothing from being
    scored, unless the run is to wait for it: the monitor asks again, and fails where people see it.

    The training sees what was known when the interval ended, so that a backfill trains what the
    scheduled run would have trained.
    """

    def __init__(self, *, model_name: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(model_name=model_name, **kwargs)
        self._spec = spec

    @fail_typed
    def execute(self, context: Any) -> None:
        """Trigger the training, or skip with the reason."""
        request = score_request(self._spec, context, now=datetime.now(UTC))
        if request.retrain == "never":  # the gate has skipped it, but a person may clear it alone
            raise AirflowSkipException("Param retrain is never: scoring uses the pinned package")
        due_only = request.retrain == "when_due"
        name = f"score__{request.interval.start:%Y-%m-%dT%H:%MZ}"
        try:
            self._start(context, request.known_by, name=name, only_if_due=due_only, wait=request.wait)
        except (AirflowSkipException, DagRunTriggerException):
            raise
        except Exception as error:
            if request.wait:
                raise
            self.log.exception("no training was started")
            raise AirflowSkipException(f"no training was started, and scoring goes on: {error}") from error


class RetrainIfDue(_TrainingStarter):
    """Start ``train_<model>`` if the model declares a reason that holds by the last published interval.

    Parameters
    ----------
    until : str
        End of that interval, ISO 8601; empty while nothing is published.
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "until")

    def __init__(self, *, model_name: str, until: Any, **kwargs: Any) -> None:
        super().__init__(model_name=model_name, **kwargs)
        self.until = until

    @fail_typed
    def execute(self, context: Any) -> None:
        """Trigger the training, or skip with the reason."""
        if not self.until:
            raise AirflowSkipException("nothing is published yet")
        as_of = datetime.fromisoformat(self.until)
        self._start(context, as_of, name=f"monitor__{as_of:%Y-%m-%dT%H:%MZ}", only_if_due=True)
