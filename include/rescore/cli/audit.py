"""Commands for auditors: the history and what proves it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rescore.cli.terminal import Json, context, print_json, print_line, say

app = typer.Typer(help="Verify the history, keep its head outside.", no_args_is_help=True)


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
