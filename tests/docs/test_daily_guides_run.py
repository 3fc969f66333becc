"""What the pages on daily work say is to be typed is run, line for line; what is not run says why."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.errors import OutageError
from tests.docs.guides import CHECKOUT, command_of, environment, shell, typed
from tests.docs.test_guides_run import GUIDES
from tests.shared.harbour import MODEL, MODELS, TRAINED_AS_OF, Harbour
from tests.shared.logins import set_up

#: Run here, in this order: who retires a model does nothing with it afterwards.
DAILY = (
    "README.md",
    "docs/guides/champion-and-challenger.md",
    "docs/guides/packages.md",
    "docs/guides/performance.md",
    "docs/guides/reproduce.md",
    "docs/guides/runbooks.md",
    "docs/guides/operations.md",
)
#: Run word for word by tests of their own.
WORD_FOR_WORD = ("docs/tutorial.md", "docs/lesson-house-price.md")
#: What begins so is not run here, and why.
NOT_RUN = {
    "make": "what CI does, and what sets up a checkout",
    "uvx": "`make release-check` does so with the wheel that it built",
    "helm": "needs a cluster; tests/deploy/test_kubernetes.py reads the values of this command",
    "pip install": "tests/model/test_package.py installs a package, the environment of tests is not changed",
    "python -m flight_delay": "tests/model/test_package.py runs an installed package so",
    "rescore new": "the tutorial, run word for word, drafts a model; tests/authoring one of each kind",
    "rescore check my_model": "the tutorial checks what it drafted",
    "rescore check house_price": "the same",
    "rescore train house_price": "the same",
    "rescore pin house_price": "the same",
    "rescore score house_price": "the same",
    "rescore reproduce --model house_price": "the same",
    "rescore packages adopt": "tests/model/test_adopt.py and test_adopt_boosters.py adopt such files",
    "rescore env build": "asks a package index; tests/model/test_own_environment.py, in `make test-slow`",
    "rescore retrain MODEL": "trains as of now, and the rows of these tests are of 2024",
}
#: What a page names, and what it is called here.
HERE = {
    "--start … --end …": "--start 2024-02-07T00:00Z --end 2024-02-09T00:00Z",
    "--key carrier=MQ --key flight=4657": "--key gauge=pier --key reading=745",
    "2013-06-11": "2024-02-02",
    "flight_delay": MODEL,
    "MODEL": MODEL,
    'VERSION --reason "the new package is worse': '1.0.0 --reason "the new package is worse',
    "VERSION": "1.0.1",
    "weather_temp": "pressure",
    "2013-04-01": "2024-02-02",
    "2013-04-08": "2024-02-07",
}


def not_run(line: str) -> list[str]:
    """Which of the reasons is given for a line."""
    return [prefix for prefix in NOT_RUN if line.removeprefix(".venv/bin/").startswith(prefix)]


def test_every_line_that_is_to_be_typed_is_run_or_says_why_not() -> None:
    pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
    pages += [str(page.relative_to(CHECKOUT)) for page in sorted((CHECKOUT / "docs").rglob("*.md"))]
    run = {*DAILY, *WORD_FOR_WORD, *(f"docs/guides/{guide}" for guide in GUIDES)}
    lines = {page: typed(page) for page in pages}
    assert {page for page in run if not lines[page]} == {"docs/guides/erasure.md", "docs/guides/retention.md"}
    left = [
        f"{page}: {line}" for page in pages if page not in run for line in lines[page] if not not_run(line)
    ]
    assert left == []
    given = {prefix for found in lines.values() for line in found for prefix in not_run(line)}
    assert {*NOT_RUN} == given, "a reason for what is not there any more"


@pytest.fixture
def stopped(harbour: Harbour) -> Iterator[str]:
    """Two published days, a challenger, and runs that an outage stopped."""
    ctx = harbour.ctx
    set_up(ctx, "harbour")  # the rights on a database are not those of what it was copied from
    for number in (31, 32):
        pipeline.score_interval(ctx, MODEL, harbour.day(number))
    challenger = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF + timedelta(days=1))
    assert challenger.version == HERE["VERSION"]
    days = [harbour.day(number) for number in (33, 34, 35)]
    broken = "UPDATE harbour.readings SET moon = NULL WHERE measured_at >= %s AND measured_at < %s"
    harbour.execute(broken, days[0].start, days[-1].end)
    runs = []
    for day in days:
        with pytest.raises(OutageError):
            pipeline.score_interval(ctx, MODEL, day)
        [run] = ctx.store.runs.latest(MODEL, 1, interval=day)
        runs.append(run.run_id)
    return iter(runs)


@pytest.mark.slow
def test_what_is_to_be_typed_works(
    harbour: Harbour,
    stopped: Iterator[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = environment(harbour, MODELS)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    scored = harbour.ctx.store.runs.published(MODEL, harbour.day(31))[0].run_id
    command = command_of(capsys, [])
    lines = [line.removeprefix(".venv/bin/") for page in DAILY for line in typed(page) if not not_run(line)]
    assert len(lines) > 50
    for line in lines:
        said = line.replace("publish RUN", f"publish {next(stopped)}") if "publish RUN" in line else line
        said = re.sub(r"--run \S+", f"--run {scored}", said)
        for written, ours in HERE.items():
            said = said.replace(written, ours)
        program, *words = shlex.split(said)
        if program == "export":
            name, _, value = words[0].partition("=")
            monkeypatch.setenv(name, value)
            given[name] = value
        elif program == "rescore":
            command(*words)
        else:
            shell(said, tmp_path, given)
    for saved in ("comparison.html", "performance.svg", f"audit/{MODEL}-1.0.0-py3-none-any.whl.sig"):
        assert (tmp_path / saved).stat().st_size > 100
    released = harbour.execute("SELECT count(*) FROM scores.runs WHERE released_by IS NOT NULL")
    assert released == [(3,)]
    assert harbour.ctx.store.pins.current(MODEL).version == "1.0.1"
    assert next(stopped, None) is None
