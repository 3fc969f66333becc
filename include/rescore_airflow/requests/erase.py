"""Whom a run of ``erase_subject`` is to erase, and on what ground."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Param

from rescore.errors import ParameterError
from rescore_airflow.requests.typed_params import check_conf

__all__ = ["EraseRequest", "erase_params", "erase_request"]


def erase_params() -> dict[str, Param]:
    """The Params of ``erase_subject``."""
    return {
        "subject": Param(
            type="string",
            minLength=1,
            title="Subject",
            description="Whose data, as COLUMN=VALUE, or as a JSON object where there are several columns.",
        ),
        "ground": Param(
            type="string",
            minLength=1,
            title="Ground",
            description="On what ground: a law's article, a ticket. Stored for ever.",
        ),
    }


@dataclass(frozen=True)
class EraseRequest:
    """Subject columns to values, and the ground."""

    subject: dict[str, str]
    ground: str


def erase_request(conf: Mapping[str, Any] | None, params: Mapping[str, Any]) -> EraseRequest:
    """Read the Params of a run of ``erase_subject``.

    Raises
    ------
    ParameterError
        An unknown Param, or a subject that is neither COLUMN=VALUE nor a JSON object of texts.
    """
    check_conf(conf, erase_params())
    text = str(params["subject"]).strip()
    if text.startswith("{"):
        try:
            subject = {str(column): str(value) for column, value in json.loads(text).items()}
        except ValueError:
            subject = {}
    else:
        column, _, value = text.partition("=")
        subject = {column.strip(): value.strip()} if column.strip() and value.strip() else {}
    if not subject:
        raise ParameterError(
            "the subject names nobody",
            where="Param subject",
            expected='COLUMN=VALUE, or {"COLUMN": "VALUE", …}',
            fix="name the columns that model.yaml declares under source.subject",
        )
    return EraseRequest(subject, str(params["ground"]))
