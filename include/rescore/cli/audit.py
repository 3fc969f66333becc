"""Commands for auditors: the history and what proves it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rescore.cli.selection import keys_named
from rescore.cli.terminal import Json, context, print_json, print_line, print_rows, say

app = typer.Typer(
    help="Verify the history, keep its head outside, export what proves a score.", no_args_is_help=True
)


@app.command("verify")
def audit_verify(
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head that was kept: as printed, or the path of a saved one. Repeatable."),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Read all stored scores, too.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Read the archive's files, too.")] = False,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Whose signature saved heads need; default: RESCORE_SIGNING_PUBLIC_KEY."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk the hash chain and compare the tables with it; exits 1 where something was changed."""
    from rescore import pipeline

    with context() as ctx:
        done = pipeline.verify_history(ctx, head or [], scores=scores, files=files, public_key=public_key)
    if as_json:
        print_json(done.to_dict())
    else:
        for finding in done.findings:
            print_line(str(finding))
        looked_at = ", ".join(f"{count:,} {what}" for what, count in done.looked_at.items())
        print_line(f"compared {looked_at}")
        print_line(f"head {done.head}" if done.head else "the history is empty")
    if done.findings:
        say(f"{len(done.findings)} differ from what was recorded")
        raise typer.Exit(1)


@app.command("export")
def audit_export(
    out: Annotated[Path, typer.Option(help="The zip file to write.")],
    run: Annotated[str | None, typer.Option(help="A run, by its id.")] = None,
    model: Annotated[str | None, typer.Option(help="With --key: the model.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="With --model: one current score, as column=value; repeat it for each column."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what proves a run, or one score, into a file that verifies offline."""
    from rescore import pipeline

    if run is not None and (model is not None or key):
        raise typer.BadParameter("give --run, or --model with --key")
    with context() as ctx:
        wanted = None
        if key:
            if model is None:
                raise typer.BadParameter("--key needs --model")
            keys = keys_named(ctx.model(model).spec, key)
            if len(keys) > 1:
                raise typer.BadParameter("a bundle proves a run or one key")
            wanted = keys[0]
        done = pipeline.export_bundle(ctx, out, run_id=run, model_name=model, key=wanted)
    print_rows([asdict(done)], as_json=as_json, title="bundle")


@app.command("check")
def audit_check(
    file: Annotated[Path, typer.Argument(help="A bundle that `rescore audit export --out FILE` wrote.")],
    head: Annotated[str | None, typer.Option(help="A head that was kept, 12:sha256:…")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Whose signature the package in it needs; PEM.")
    ] = None,
) -> None:
    """Verify a bundle; needs neither database nor archive."""
    from rescore import pipeline

    for line in pipeline.check_bundle(file, head=head, public_key=public_key, progress=say):
        print_line(line)


@app.command("head")
def audit_head(
    save: Annotated[Path | None, typer.Option(help="Write it into this file, too.")] = None,
    sign: Annotated[
        Path | None, typer.Option(help="A private key in PEM; the signature is written beside the file.")
    ] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="The key is encrypted.")] = False,
    as_json: Json = False,
) -> None:
    """Print the head of the chain: keep it outside, and the history before it can't be rewritten unseen."""
    from rescore import pipeline

    if sign is not None and save is None:
        raise typer.BadParameter("a signature needs a file: give --save, too")
    password = typer.prompt("Password of the key", hide_input=True) if ask_password else None
    with context() as ctx:
        kept = pipeline.save_head(ctx, save, key=sign, password=password)
    if as_json:
        print_json(kept.to_dict())
    else:
        print_line(str(kept))


@app.command("anchor")
def audit_anchor() -> None:
    """Keep the head of the chain in RESCORE_ANCHORS, signed where RESCORE_SIGNING_KEY is set."""
    from rescore import pipeline

    with context() as ctx:
        print_line(pipeline.anchor_head(ctx))
