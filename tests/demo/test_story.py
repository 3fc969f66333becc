"""The demo says what it does now, and how long the rest may take, on a fast machine and on a slow one."""

from __future__ import annotations

import pytest

from rescore.demo.story import CHAPTERS, Story
from rescore.progress import as_time


@pytest.mark.parametrize("whole", [100.0, 1_000.0])
def test_the_rest_is_estimated_by_how_long_the_first_chapters_took(whole: float) -> None:
    now = 0.0
    said: list[str] = []
    story = Story(said.append, clock=lambda: now)
    for name, chapter in CHAPTERS.items():
        with story.chapter(name):
            now += whole * chapter.share
    assert len(said) == len(CHAPTERS)
    assert said[0].startswith(f"1 of {len(CHAPTERS)}: ") and "left" not in said[0], "nothing is known yet"
    told = spent = 0.0
    for line, chapter in zip(said[1:], list(CHAPTERS.values())[:-1], strict=True):
        told += chapter.share
        spent += whole * chapter.share
        so_far, left = as_time(spent), as_time(spent / told * (1 - told))
        assert line.endswith(f"[{so_far} so far, about {left} left]")


def test_the_chapters_are_the_whole() -> None:
    assert sum(chapter.share for chapter in CHAPTERS.values()) == pytest.approx(1)
