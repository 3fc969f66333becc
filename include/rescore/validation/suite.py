"""A model folder's ``expectations.py``: read from its file, run and checked before it is used.

The file is not imported: nothing stays in ``sys.modules`` and no byte code is written, so two
models, or two revisions of one, never meet.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from rescore.errors import SpecError
from rescore.folder import ModelFolder
from rescore.validation.gx_engine import ephemeral_context, expectation_classes, great_expectations

__all__ = ["columns_of", "condition_columns_of", "load_suite", "read_suite"]

_EXPECTED = "def suite() -> gx.ExpectationSuite, with a severity in every expectation"

_SUITE_PARAMETER = "$PARAMETER"

#: Great Expectations logs a configuration it can't read, and goes on without it.
_SUITE_LOG = "great_expectations.core.expectation_suite"
_REGISTRY_LOG = "great_expectations.expectations.registry"


def load_suite(folder: ModelFolder) -> Any:
    """Run ``suite()`` of a model folder's ``expectations.py`` and check what it gives.

    Parameters
    ----------
    folder : ModelFolder
        The model.

    Returns
    -------
    great_expectations.ExpectationSuite
        Each expectation has an explicit severity and names only input columns of the model.

    Raises
    ------
    SpecError
        The file raises, has no ``suite``, gives something else, drops an expectation, leaves a
        severity out (Great Expectations would take it for critical), names a column that the
        model does not have, asks for a suite parameter (none is ever given), or holds half of a
        surrogate pair, which is no text.
    """
    return read_suite(folder.path / "expectations.py", folder.spec.input_columns)


def read_suite(path: Path, columns: Sequence[str]) -> Any:
    """The same from the file alone, for a model of these input columns."""
    with ephemeral_context(), _dropped() as dropped:
        suite = _call(path)
    if dropped:
        raise SpecError(
            "Great Expectations could not read an expectation of the suite and left it out",
            where=str(path),
            expected="expectations written as gxe.Expect…(…, severity=…)",
            examples=dropped,
            fix="write it as an expectation class, which checks its parameters",
        )
    for number, expectation in enumerate(suite.expectations, start=1):
        _check_values(expectation, number, path)
        _check_severity(expectation, number, path)
        _check_columns(expectation, number, path, columns)
    return suite


def columns_of(expectation: Any) -> list[str]:
    """The columns an expectation is about; each once, in the order it names them."""
    listed = getattr(expectation, "column_list", None) or []
    single = [getattr(expectation, field, None) for field in ("column", "column_A", "column_B")]
    return list(dict.fromkeys(name for name in [*single, *listed] if isinstance(name, str)))


def condition_columns_of(expectation: Any) -> list[str]:
    """The columns its row condition reads, as far as the condition is not free text."""
    return list(dict.fromkeys(_condition_columns(getattr(expectation, "row_condition", None))))


def _condition_columns(condition: Any) -> list[str]:
    if condition is None:
        return []
    inner = getattr(condition, "conditions", None)
    if inner is not None:
        return [name for part in inner for name in _condition_columns(part)]
    column = getattr(condition, "column", None)
    return [column.name] if column is not None else []


def _call(path: Path) -> Any:
    # A class definition looks its module up in sys.modules while it is made, so the module is
    # there while the file runs, under a name nobody else has.
    module = ModuleType(f"rescore_expectations_{uuid4().hex}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        code = compile(path.read_bytes(), str(path), "exec")
        exec(code, module.__dict__)  # noqa: S102 - the model's own code, as importing it would
        build = getattr(module, "suite", None)
        suite = build() if callable(build) else None
    except (Exception, SystemExit) as error:
        raise SpecError(
            f"expectations.py raised {type(error).__name__}: {error}".removesuffix(": "),
            where=_place(error, path),
            expected=_EXPECTED,
            fix="correct the line named; the file may import Great Expectations and what is installed, "
            "not its neighbours",
        ) from error
    finally:
        del sys.modules[module.__name__]
    if not callable(build):
        raise SpecError(
            "expectations.py has no function suite",
            where=str(path),
            expected=_EXPECTED,
            fix="define suite() and return the gx.ExpectationSuite",
        )
    if not isinstance(suite, great_expectations().ExpectationSuite):
        raise SpecError(
            f"suite() gave {type(suite).__name__}, not an ExpectationSuite",
            where=str(path),
            expected=_EXPECTED,
            fix="return gx.ExpectationSuite(name=…, expectations=[…])",
        )
    return suite


def _place(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _check_values(expectation: Any, number: int, path: Path) -> None:
    for field, value in expectation:
        for part in _parts(value):
            if isinstance(part, Mapping) and _SUITE_PARAMETER in part:
                raise SpecError(
                    f"expectation {number}, {_name(expectation)}, takes {field} from a suite parameter",
                    where=str(path),
                    expected="values that stand in expectations.py: nobody gives a suite its parameters, and "
                    "what is computed from the clock says something else each time",
                    fix=f"write the value of {field}",
                )
            if isinstance(part, str) and any("\ud800" <= one <= "\udfff" for one in part):
                raise SpecError(
                    f"expectation {number}, {_name(expectation)}, holds half of a surrogate pair in {field}",
                    where=str(path),
                    expected="text that UTF-8 can hold, as all text in Postgres is",
                    examples=[ascii(part)],
                    fix="write the character itself, or \\U and its eight digits",
                )


def _parts(value: Any) -> Iterator[Any]:
    """A value of an expectation, and all that it is made of."""
    if hasattr(value, "__fields__"):
        value = dict(value)  # a row condition, a column in it
    yield value
    if isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    else:
        inner = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    for one in inner:
        yield from _parts(one)


def _check_severity(expectation: Any, number: int, path: Path) -> None:
    base = expectation_classes().Expectation
    said = expectation.__fields_set__
    # Great Expectations fills these two in when it builds an expectation from a dict, and the
    # severity with them: a critical one may then have been said or not.
    from_dict = {"id", "rendered_content"} <= said
    explicit = "severity" in said and not (from_dict and expectation.severity.value == "critical")
    in_class = any(
        "severity" in vars(cls).get("__annotations__", {})
        for cls in type(expectation).__mro__
        if cls is not base
    ) or (type(expectation).__fields__["severity"].default is not base.__fields__["severity"].default)
    if explicit or in_class:
        return
    raise SpecError(
        f"expectation {number}, {_name(expectation)}, states no severity",
        where=str(path),
        expected="severity='critical' (blocks the run), 'warning' (quarantines the rows that fail) or "
        "'info' (is only recorded); Great Expectations itself would take it for critical",
        fix=f"add severity=… to {type(expectation).__name__}(…)",
    )


def _check_columns(expectation: Any, number: int, path: Path, known: Sequence[str]) -> None:
    named = [*columns_of(expectation), *condition_columns_of(expectation)]
    unknown = [name for name in named if name not in known]
    if unknown:
        raise SpecError(
            f"expectation {number}, {_name(expectation)}, names a column that the model does not have: "
            f"{', '.join(unknown)}",
            where=str(path),
            expected=f"input columns of the model: {', '.join(known)}",
            fix="correct the name, or declare the column in model.yaml",
        )


def _name(expectation: Any) -> str:
    columns = ", ".join(columns_of(expectation))
    text = type(expectation).__name__ + (f" of {columns}" if columns else "")
    return text.encode(errors="backslashreplace").decode()


@contextmanager
def _dropped() -> Iterator[list[str]]:
    """Collect what Great Expectations logs while it leaves an expectation out of a suite."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect(logging.ERROR)
    log, registry = logging.getLogger(_SUITE_LOG), logging.getLogger(_REGISTRY_LOG)
    level = registry.level
    log.addHandler(handler)
    # A file that is read twice defines its own expectation classes twice: no news.
    registry.setLevel(logging.ERROR)
    try:
        yield messages
    finally:
        log.removeHandler(handler)
        registry.setLevel(level)
