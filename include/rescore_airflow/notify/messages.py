"""Telling people: Airflow's notifiers, as the model and the platform declare them.

A notifier is any class of Airflow's providers or of your own that extends ``BaseNotifier``. Its
templates see the message as the variable ``rescore``: ``event``, ``model``, ``subject``, ``text``,
``html``, ``runbook`` and ``data``. A notifier's module is imported when there is something to tell.
"""

from __future__ import annotations

import hashlib
import html
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter

from rescore.errors import RescoreError, SettingsError
from rescore.runbooks import runbook
from rescore_airflow.declarations import declared

if TYPE_CHECKING:
    from rescore.spec import NotifySpec

__all__ = ["Message", "listeners", "on_failure", "tell", "try_to_tell"]

log = logging.getLogger(__name__)

#: What a notifier that sends HTML says, unless its arguments say something else.
_DEFAULTS = {"subject": "{{ rescore.subject }}", "html_content": "{{ rescore.html }}"}


@dataclass(frozen=True)
class Message:
    """Something that people are told.

    Attributes
    ----------
    event : {'failed', 'held', 'verdict', 'alarm', 'performance', 'approval'}
        Decides who is told.
    model : str
        The model; empty for the platform's own DAGs.
    subject, text : str
        One line, and all of it; plain text.
    data : mapping
        The same for a machine, JSON-serialisable.
    once : bool
        Whether a task that runs again leaves out whom it told already. A question that is put again is told
        again.
    """

    event: str
    model: str
    subject: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    once: bool = True

    def key(self, spec: NotifySpec) -> str:
        """The key under which Airflow remembers that a notifier was told; of the words, not of ``data``."""
        said = [self.event, self.model, self.subject, self.text, spec.model_dump(mode="json")]
        return "told_" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]

    def variables(self) -> dict[str, Any]:
        """What templates see as ``rescore``; ``html`` is escaped, because it may quote anybody's data."""
        text = f"{self.text}\n\nWhat to do: {runbook(self.event)}"
        return {
            "event": self.event,
            "model": self.model,
            "subject": " ".join(self.subject.split()),
            "text": text,
            "html": f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>',
            "runbook": runbook(self.event),
            "data": dict(self.data),
        }


def listeners(model_name: str) -> list[NotifySpec]:
    """The notifiers that ``airflow.notify`` of the model and the file ``RESCORE_NOTIFY`` declare.

    Raises
    ------
    SettingsError
        The file is missing or wrong.
    """
    of_model = declared(model_name).airflow.notify if model_name else []
    return [*of_model, *_platform()]


def _platform() -> list[NotifySpec]:
    named = os.environ.get("RESCORE_NOTIFY")
    if not named:
        return []
    from rescore.spec import NotifySpec

    try:
        return TypeAdapter(list[NotifySpec]).validate_python(
            yaml.safe_load(Path(named).read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(
            "the platform's notifiers can't be read",
            where=f"{named}, which RESCORE_NOTIFY names",
            expected="a YAML list of: notifier, events, arguments",
            examples=[str(error)],
            fix="correct the file",
        ) from None


def tell(message: Message, context: Mapping[str, Any], *, unless: str | None = None) -> int:
    """Send a message to every notifier that listens to its event, once however often its task runs.

    A task that is tried again or cleared tells the same message only to notifiers that were not told: Airflow
    keeps beside the task who was (from 3.3 on). Take that away to have it told again. Those that
    listen to the event ``unless``, too, are left out.

    Returns
    -------
    int
        How many notifiers were told now.

    Raises
    ------
    SettingsError
        At least one notifier failed; raised after all were tried.
    """
    wanted = [spec for spec in listeners(message.model) if message.event in spec.events]
    wanted = [spec for spec in wanted if unless not in spec.events]
    told, failed = 0, []
    for spec in wanted:
        if message.once and _was_told(message, spec, context):
            log.info("%s was told already, when this task ran before: %s", spec.notifier, message.subject)
            continue
        try:
            _notifier(spec)({**context, "rescore": message.variables()})
        except Exception as error:
            log.exception("%s was not told of: %s", spec.notifier, message.subject)
            failed.append(f"{spec.notifier}: {type(error).__name__}: {error}")
            continue
        told += 1
        _keep_told(message, spec, context)
    if failed:
        raise SettingsError(
            f"{len(failed)} of {len(wanted)} notifiers failed: {message.subject}",
            where="airflow.notify in model.yaml, or the file that RESCORE_NOTIFY names",
            expected="an Airflow notifier that takes these arguments, and a receiver that answers",
            examples=failed,
            fix="correct the arguments, or the connection that the notifier uses",
        )
    return told


def _was_told(message: Message, spec: NotifySpec, context: Mapping[str, Any]) -> bool:
    """Whether Airflow kept that this task told a notifier; not before 3.3, and not outside of a task."""
    try:
        return bool(context["task_state_store"].get(message.key(spec)))
    except KeyError:
        return False
    except Exception:  # twice is better than never
        log.exception("what this task told before can't be read")
        return False


def _keep_told(message: Message, spec: NotifySpec, context: Mapping[str, Any]) -> None:
    try:
        context["task_state_store"].set(message.key(spec), message.subject)
    except KeyError:
        return
    except Exception:
        log.exception("that %s was told can't be kept: it may be told again", spec.notifier)


def try_to_tell(message: Message, context: Mapping[str, Any]) -> None:
    """Send a message; a failure is logged, because what the message is about counts for itself."""
    try:
        tell(message, context)
    except Exception:
        log.exception("not every notifier was told of: %s", message.subject)


def _notifier(spec: NotifySpec) -> Any:
    from importlib import import_module

    module, _, name = spec.notifier.rpartition(".")
    kind = getattr(import_module(module), name)
    fields: Sequence[str] = getattr(kind, "template_fields", ())
    defaults = _DEFAULTS if set(_DEFAULTS) <= set(fields) else {}
    return kind(**{**defaults, **spec.arguments})


def on_failure(context: Any) -> None:
    """A failure callback: tell people that a task has failed for good, and why. Never raises."""
    error, instance = context.get("exception"), context["ti"]
    dag_id, task = context["dag"].dag_id, " ".join(map(str, _named(instance).values()))
    what = error.what if isinstance(error, RescoreError) else str(error).partition("\n")[0]
    message = Message(
        "failed",
        _model_of(dag_id),
        f"{dag_id}: {task} failed: {what}",
        f"Run {context['run_id']} of {dag_id}, try {instance.try_number} of {task}:\n\n{error}",
        {"dag_id": dag_id, "run_id": context["run_id"], **_named(instance), "error": str(error)},
    )
    try_to_tell(message, context)


def _named(instance: Any) -> dict[str, Any]:
    """Which task: its id, and of a mapped one its index and what its name in the UI says."""
    index, rows = getattr(instance, "map_index", None), getattr(instance, "rendered_map_index", None)
    mapped = {} if index is None or index < 0 else {"map_index": index}
    return {"task_id": instance.task_id, **mapped, **({"rows": rows} if mapped and rows else {})}


def _model_of(dag_id: str) -> str:
    kind, _, model = dag_id.partition("_")
    return model if kind in {"score", "train", "monitor", "publish"} else ""
