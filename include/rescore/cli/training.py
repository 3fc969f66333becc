"""Commands that make packages and choose the one that scores."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rescore.cli.selection import moment
from rescore.cli.terminal import (
    Json,
    ModelName,
    Who,
    context,
    print_json,
    print_line,
    print_rows,
    say,
    stdout,
)
from rescore.shown_text import number_of

app = typer.Typer()


@app.command()
def train(
    model: ModelName,
    as_of: Annotated[str | None, typer.Option(help="Labels known by then are used; ISO 8601.")] = None,
    start: Annotated[str | None, typer.Option(help="Start of the first interval.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the last interval.")] = None,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Snapshot the training window, fit twice, compare the bytes, and keep the package."""
    from rescore import pipeline

    with context() as ctx:
        trained = pipeline.train_model(
            ctx,
            model,
            as_of=moment(as_of, "--as-of"),
            start=moment(start, "--start"),
            end=moment(end, "--end"),
            who=who,
        )
    print_rows([trained.to_dict()], as_json=as_json, title="package")


@app.command()
def pin(
    model: ModelName,
    to: Annotated[str, typer.Option(help="The package's version or sha256.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    who: Who = "",
) -> None:
    """Make a package the one that scores; rolling back is a new pin."""
    from rescore import pipeline

    with context() as ctx:
        evidence = pipeline.pin_evidence(ctx, model, to)
        pipeline.pin(ctx, model, to, who=who, why=reason, evidence=evidence)
    replaced = evidence["replaces"]
    back = ", which it was before" if evidence["rolls_back_to"] is not None else ""
    before = f"; it replaces {replaced['version']}" if replaced else ""
    print_line(f"{model}: {to} is pinned{back}{before}")


@app.command()
def compare(
    model: ModelName,
    challenger: Annotated[str, typer.Option(help="The package's version or sha256.")],
    champion: Annotated[str | None, typer.Option(help="Default: the pinned package.")] = None,
    start: Annotated[str | None, typer.Option(help="A window to compare on: its start.")] = None,
    end: Annotated[str | None, typer.Option(help="Its end; default: the challenger's hold-out.")] = None,
    as_of: Annotated[str | None, typer.Option(help="With a window: labels known by then are used.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the report as a page (.html).")] = None,
    as_json: Json = False,
) -> None:
    """Compare two packages on frozen rows that neither was fitted on; exits 0 whatever wins."""
    from rescore import pipeline

    with context() as ctx:
        comparison = pipeline.compare_packages(
            ctx,
            model,
            challenger,
            champion,
            start=moment(start, "--start"),
            end=moment(end, "--end"),
            as_of=moment(as_of, "--as-of"),
        )
        beside = pipeline.shadows_of(ctx, model, pipeline.utc_now())
    if as_json:
        rule = comparison.report.rule
        decided = {"by_rule": rule.passes, "reasons": list(rule.reasons)}
        report = comparison.report.to_dict()
        print_json({"comparison_id": comparison.comparison_id, **decided, "report": report})
    else:
        from rich.markdown import Markdown

        stdout.print(Markdown(comparison.markdown()))
        for one in beside:
            print_line(one.sentence)
    if save is not None:
        from rescore.report import comparison_html

        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(comparison_html(comparison.report), encoding="utf-8")
        say(f"saved {save}")


@app.command()
def retrain(
    model: ModelName,
    as_of: Annotated[str | None, typer.Option(help="Labels known by then are used; ISO 8601.")] = None,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only if a declared reason holds; else say why not and exit 0.")
    ] = False,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Train, and compare what comes of it with the pinned package; pins nothing."""
    from rescore import pipeline

    known_by = moment(as_of, "--as-of")
    with context() as ctx:
        if if_due:
            retraining = pipeline.when_due(ctx, model, known_by or datetime.now(UTC))
            if not retraining.due:
                if as_json:
                    print_json({"due": False, "reason": retraining.reason})
                else:
                    print_line(f"{model} is not due: {retraining.reason}")
                return
            say(f"{model} is due: {retraining.reason}")
        done = pipeline.retrain(ctx, model, as_of=known_by, who=who)
    if as_json:
        print_json(
            {
                "due": True,
                "package": done.package.to_dict(),
                "champion": done.champion,
                "by_rule": done.passes,
                "reasons": list(done.reasons),
                "comparison_id": done.comparison_id,
            }
        )
        return
    version = done.package.version
    print_line(f"{model} {version}, trained on {number_of(done.package.rows, 'row')}: {done.package.sha256}")
    if done.passes is not None:
        ruled = "may replace" if done.passes else "does not replace"
        print_line(f"by the declared rule it {ruled} {done.champion}:")
    for reason in done.reasons:
        print_line(f"  {reason}")
    if done.champion != version:
        print_line(f"pin it with `rescore pin {model} --to {version} --reason TEXT`")
