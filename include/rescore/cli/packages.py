"""Commands on model packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rescore.cli.selection import moment
from rescore.cli.terminal import Json, ModelName, Who, context, print_json, print_line, print_rows, say

app = typer.Typer(
    help="List, show, compare, adopt, sign, verify and withdraw model packages.", no_args_is_help=True
)

#: The manifest's parts in the order in which an auditor asks; what is not named here follows.
_ORDER = (
    ("name", "version", "format", "owner", "description"),
    ("built", "lineage", "training", "target", "output", "seed"),
    ("features", "selection", "hyperparameters", "pipeline"),
    ("metrics", "evaluation"),
    ("code", "requirements", "locked", "environment", "artifact", "files"),
)


@app.command("list")
def packages_list(model: ModelName, as_json: Json = False) -> None:
    """List a model's packages, newest first, with what is pinned."""
    from rescore import pipeline

    with context() as ctx:
        rows = pipeline.package_rows(ctx, model)
        beside = pipeline.shadows_of(ctx, model, pipeline.utc_now())
    columns = [*rows[0]][:-1] if rows else None
    said = {one.sha256: one.sentence for one in beside}
    rows = [{**row, **({"shadow": said[row["sha256"]]} if row["sha256"] in said else {})} for row in rows]
    print_rows(rows, as_json=as_json, title=f"packages of {model}", columns=columns)
    if not as_json:
        for sentence in said.values():
            print_line(sentence)


@app.command("show")
def packages_show(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="The package's version or sha256.")],
    as_json: Json = False,
) -> None:
    """Print a package's whole manifest: what made it, from what, in what environment, with what result."""
    with context() as ctx:
        package = ctx.store.packages.find(model, version)
    if as_json:
        print_json(dict(sorted(package.manifest.to_dict().items())))
        return
    print_line(f"{model} {package.version}\n  file: {package.sha256}\n  stored at: {package.uri}")
    said = package.manifest.to_dict()
    named = [key for part in _ORDER for key in part]
    for key in [*named, *(key for key in said if key not in named)]:
        if key in said:
            _print_part(key.replace("_", " "), said[key], 0)


@app.command("diff")
def packages_diff(
    model: ModelName,
    before: Annotated[str, typer.Argument(help="A version or sha256.")],
    after: Annotated[str, typer.Argument(help="Another version or sha256.")],
    as_json: Json = False,
) -> None:
    """Say what changed between two packages: data, features, parameters, code, environment, metrics."""
    from rescore.model import changes

    with context() as ctx:
        old, new = (ctx.store.packages.find(model, reference) for reference in (before, after))
    rows = changes(old.manifest, new.manifest)
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        print_line(f"{old.version} and {new.version} were made of the same, with the same result")
    about = None
    for row in rows:
        if row["about"] != about:
            about = row["about"]
            print_line(about)
        print_line(f"  {row['what']}: {row['before']} -> {row['after']}")


_Version = Annotated[
    str | None,
    typer.Option("--version", help="The package's version or sha256; default: the newest package."),
]


@app.command("adopt")
def packages_adopt(
    file: Annotated[Path, typer.Argument(help="A pickle, a booster's own file, or an MLflow folder.")],
    model: Annotated[str, typer.Option(help="The model folder that declares its features and target.")],
    version: Annotated[
        str | None, typer.Option(help="MAJOR.MINOR.PATCH; default: the next of the folder's version.")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="The reference rows are known by then; ISO 8601.")] = None,
    start: Annotated[str | None, typer.Option(help="Start of the reference window.")] = None,
    end: Annotated[str | None, typer.Option(help="End of the reference window.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that loading or converting may take.")] = 600.0,
    who: Who = "",
    as_json: Json = False,
) -> None:
    """Make a package of a model fitted elsewhere; its training is not reproducible, its scores are."""
    from rescore import pipeline

    with context() as ctx:
        adopted = pipeline.adopt_model(
            ctx,
            model,
            file,
            version=version,
            as_of=moment(as_of, "--as-of"),
            start=moment(start, "--start"),
            end=moment(end, "--end"),
            timeout=timeout,
            who=who,
        )
    print_rows([adopted.to_dict()], as_json=as_json, title="package")


@app.command("sign")
def packages_sign(
    model: ModelName,
    key: Annotated[Path, typer.Option(help="A private key in PEM (P-256, P-384 or P-521).")],
    version: _Version = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="The key is encrypted.")] = False,
    who: Who = "",
) -> None:
    """Sign a package's file with a local key; the signature is kept in the store."""
    from rescore import pipeline

    password = typer.prompt("Password of the key", hide_input=True) if ask_password else None
    with context() as ctx:
        signed = pipeline.sign_package(ctx, model, version, key=key, who=who, password=password)
    print_line(f"{model} {signed.version} is signed: {signed.sha256}")


@app.command("verify")
def packages_verify(
    model: ModelName,
    version: _Version = None,
    public_key: Annotated[
        Path | None, typer.Option(help="A public key in PEM; default: RESCORE_SIGNING_PUBLIC_KEY.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="A folder for the package's file and its signature beside it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a package's signature; fails where none holds."""
    from rescore import pipeline

    with context() as ctx:
        verified = pipeline.verify_package(ctx, model, version, public_key=public_key, save=save)
    print_rows([verified], as_json=as_json, title="signature")
    if save is not None:
        say(f"saved the package and its signature in {save}")


@app.command("withdraw")
def packages_withdraw(
    model: ModelName,
    version: Annotated[str, typer.Argument(help="The package's version or sha256.")],
    reason: Annotated[str, typer.Option(help="Why; stored for ever.")],
    who: Who = "",
) -> None:
    """Delete a package's file for good, if it holds an erased person's rows: it is never pinned again."""
    from rescore import pipeline

    with context() as ctx:
        package = pipeline.withdraw_package(ctx, model, version, who=who, why=reason)
    print_line(f"{model} {package.version} is withdrawn: {package.sha256}")


def _print_part(name: str, value: Any, depth: int) -> None:
    """One part of the manifest as indented lines."""
    indent = "  " * depth
    if isinstance(value, Mapping) and value:
        print_line(f"{indent}{name}")
        for key, item in value.items():
            _print_part(str(key), item, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        print_line(f"{indent}{name}")
        for number, item in enumerate(value, 1):
            title = item.get("name", number) if isinstance(item, Mapping) else number
            _print_part(str(title), item, depth + 1)
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else value
        print_line(f"{indent}{name}: {shown}")
