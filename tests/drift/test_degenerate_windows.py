"""Reference windows in which a feature is missing altogether judge nothing else wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from rescore.drift.reference import Reference
from rescore.drift.standardise import shape_standing, shift_standing, unusualness
from rescore.errors import DriftError


@pytest.mark.filterwarnings("error")
def test_windows_without_any_distance_or_noise_stay_finite_and_near():
    # The first windows of a history have no value of a feature that looks back.
    distance = np.array([[19.0], [0.0], [0.0], *([[0.05]] * 40), [0.05]])
    noise = np.array([[0.001], [0.0], [0.0], *([[0.001]] * 40), [0.001]])
    standing = shape_standing(distance, noise, np.where(noise > 0, 9.0, 0.0))
    found = unusualness(standing, np.array([False]))
    assert np.isfinite(found).all()
    assert found[0, 0] == found.max()
    assert found[-1, 0] < found[0, 0]
    nothing = np.zeros_like(distance)
    assert (shift_standing(nothing, nothing) == 0).all()
    assert np.isfinite(unusualness(nothing, np.array([True]))).all()


def test_a_profile_that_lacks_a_part_is_refused_by_name():
    with pytest.raises(DriftError, match=r"(?s)'timezone'.*train the package again"):
        Reference.from_bytes(b'{"format": 2, "model": "tides"}')
