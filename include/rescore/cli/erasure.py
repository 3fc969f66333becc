"""Commands about a person: what is kept of them, and its erasure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rescore.cli.terminal import Json, Who, context, print_json, print_line, print_rows
from rescore.errors import MAX_EXAMPLES, ParameterError
from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.pipeline import Counterfactual

app = typer.Typer()
subject = typer.Typer(help="Show what is kept of a person.", no_args_is_help=True)

_Subject = Annotated[
    list[str],
    typer.Option(
        "--subject", help="Whose data, as COLUMN=VALUE with a column of source.subject; repeat it for each."
    ),
]


@app.command("erase")
def erase(
    subject: _Subject,
    ground: Annotated[str, typer.Option(help="On what ground: a law's article, a ticket. Stored for ever.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Erase nothing; say what would be.")] = False,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain", help="First train the packages that saw the person without them; say what changes."
        ),
    ] = False,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Erase a person from frozen rows, scores and reports; tombstones attest it. Can't be undone."""
    from rescore import pipeline

    with context() as ctx:
        # Before the erasure: afterwards nobody can say which packages saw the person.
        without = pipeline.train_without(ctx, _named(subject)) if retrain else []
        done = pipeline.erase_subject(ctx, _named(subject), ground=ground, who=who, dry_run=dry_run)
    if as_json:
        print_json(done.to_dict() | {"without": [one.to_dict() for one in without]})
        return
    verb = "would be erased" if dry_run else f"erased as {done.pseudonym}"
    print_line(
        f"{number_of(sum(done.frozen.values()), 'row')} of {number_of(len(done.frozen), 'frozen table')} and "
        f"{number_of(sum(done.rows.values()), 'row')} of {number_of(len(done.rows), 'run')} {verb}"
    )
    if done.strays:
        print_line(
            f"{number_of(len(done.strays), 'file')} of no frozen table, with rows of the person, {verb}"
        )
    for package, meaning in done.packages.items():
        print_line(f"package {package}: {meaning}")
    for one in without:
        _print_without(one)
    for hold in done.legal_holds:
        print_line(hold)
    if done.ended:
        end = "would end" if dry_run else "have ended"
        print_line(
            f"{number_of(len(done.ended), 'run')} that were to score these rows {end}: score their "
            "intervals again"
        )
    if done.unsearched:
        print_line(
            f"{number_of(len(done.unsearched), 'run')} can't be searched: nothing says whose their scores are"
        )
    for what in done.passed_over:
        print_line(f"not searched: {what}")


@subject.command("show")
def subject_show(subject: _Subject, as_json: Json = False) -> None:
    """Print all that is kept of a person: rows, their scores, reports; and what can't be searched."""
    from rescore import pipeline

    with context() as ctx:
        rows = pipeline.show_subject(ctx, _named(subject))
    print_rows([row.to_dict() for row in rows], as_json=as_json, title="kept of this person")


def _print_without(one: Counterfactual) -> None:
    """What a package would be without the person."""
    print_line(f"package {one.model} {one.version} without the person's {number_of(one.removed, 'row')}:")
    if one.reason:
        print_line(f"  not trained: {one.reason}")
        return
    shown = one.parameters[:MAX_EXAMPLES]
    print_line(f"  parameters: {len(one.parameters):,} differ")
    for parameter in shown:
        print_line(f"    {parameter}")
    for metric, (before, after) in one.metrics.items():
        print_line(f"  {metric}: {before} -> {after}")
    print_line(
        f"  scores: {one.moved:,} of {one.rows:,} differ, by {one.largest:.3g} at most and {one.mean:.3g} on"
        f" average; {number_of(one.labels, 'label does', 'labels do')}"
    )


def _named(options: list[str]) -> dict[str, str]:
    values = {}
    for option in options:
        column, equal, value = option.partition("=")
        if not equal or not column or not value:
            raise ParameterError(
                f"--subject {option!r} names nobody", expected="COLUMN=VALUE, as in customer=1234"
            )
        values[column] = value
    return values
