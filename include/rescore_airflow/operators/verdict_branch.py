"""The step of a scoring run that compares it with training, and the step that holds its scores."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import BaseOperator, SkipMixin
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from rescore.shown_text import number_of
from rescore_airflow.connections import pipeline_context
from rescore_airflow.lineage import tell_lineage
from rescore_airflow.notify import Message, try_to_tell
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.operators.siblings import sibling

__all__ = ["DriftCheck", "Hold"]


class DriftCheck(BaseOperator, SkipMixin):
    """Compare a run with training; go on to ``publish``, or to ``hold`` if the model declares that.

    The other of the two is skipped from here, without a process of its own. Returns the run's id.

    Parameters
    ----------
    run : str
        The run's id.
    publish, hold : str
        The two tasks, of the same group.
    """

    template_fields = ("run",)
    #: Lets Airflow skip the same task again when it is cleared without this one.
    inherits_from_skipmixin = True

    def __init__(self, *, run: Any, publish: str, hold: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self._publish = publish
        self._hold = hold

    @fail_typed
    def execute(self, context: Any) -> None:
        """Decide; an outage that the model stops raises."""
        from rescore import pipeline

        with pipeline_context() as ctx:
            run_id = tell_lineage(ctx, pipeline.drift_run(ctx, tell_lineage(ctx, self.run)))
            held = ctx.store.runs.get(run_id).held
        context["ti"].xcom_push("return_value", run_id)  # skipping ends the task before it returns
        self.skip(
            context["ti"],
            [context["dag"].get_task(sibling(self.task_id, self._publish if held else self._hold))],
        )


class Hold(TriggerDagRunOperator):
    """Ask for the release of a held run: start ``publish_<model>``, which waits for a person.

    That is a run of its own, so that no number of held intervals keeps the next one from being scored.

    Parameters
    ----------
    model_name : str
        The model.
    run : str
        The run's id.
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "run")

    def __init__(self, *, model_name: str, run: Any, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=f"publish_{model_name}",
            skip_when_already_exists=True,  # tried again, or cleared: it is asked for already
            fail_when_dag_is_paused=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.model_name = model_name
        self.run = run

    @fail_typed
    def execute(self, context: Any) -> None:
        """Start the run that waits, and tell people; the scores are held whether or not anyone is told.

        Cleared after that run has ended without a release, it starts another.
        """
        with pipeline_context() as ctx:
            held = ctx.store.runs.get(self.run)
        if held.publication is not None:
            raise AirflowSkipException(f"run {held.run_id} is published: nothing is left to release")
        self.conf = {"run_id": held.run_id}
        self.trigger_run_id = f"held__{held.run_id}"
        instance, ended = context["ti"], ["success", "failed"]
        if instance.get_dr_count(self.trigger_dag_id, run_ids=[self.trigger_run_id], states=ended):
            self.trigger_run_id += f"__{instance.try_number}"
        message = Message(
            "held",
            self.model_name,
            f"{self.model_name}: scores of {held.interval} are held, {held.verdict}",
            f"{held.sentence}\n\nRun {held.run_id}, {number_of(held.rows_scored or 0, 'score')} of package "
            f"{held.package_version}. Release or reject them under Required Actions of "
            f"{self.trigger_dag_id}, run {self.trigger_run_id}.",
            {"run_id": held.run_id, "interval": str(held.interval), "verdict": held.verdict},
        )
        try:
            super().execute(context)
        except DagRunTriggerException:  # how Airflow is asked to start it; what failed before told nobody
            try_to_tell(message, context)
            raise
