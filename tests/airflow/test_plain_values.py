"""What a task hands to Airflow survives the way between its processes."""

from __future__ import annotations

import json

import msgspec
import pytest

from rescore.sha256 import bytes_sha256
from rescore_airflow.plain_values import plain_values


def test_a_digest_goes_through_the_format_that_airflow_sends() -> None:
    digest = bytes_sha256(b"scores")
    with pytest.raises(TypeError):
        msgspec.msgpack.encode({"score_digest": digest})
    plain = plain_values({"score_digest": digest, "rows": 3, "reason": None})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plain)) == plain
    assert json.dumps(plain) == json.dumps({"score_digest": str(digest), "rows": 3, "reason": None})
