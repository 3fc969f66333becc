"""What can be wrong with a package or its input, said without Rescore.

::

    PackageError
    ├── FileDigestError      a file of the package is not what its manifest says
    ├── EnvironmentError_    other library versions than the package was built with
    ├── ThreadsError         numerical libraries would use more than one thread
    ├── GoldenError          the golden rows do not give their recorded bits
    ├── InputError           a column is missing, or holds what its kind does not allow
    └── ScoreError           the model failed on the rows, or gave a score that is no number

A child process writes an error as one JSON line (:meth:`PackageError.to_dict`); Rescore reads it
there and raises its own error of that meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "EnvironmentError_",
    "FileDigestError",
    "GoldenError",
    "InputError",
    "PackageError",
    "ScoreError",
    "ThreadsError",
]


class PackageError(Exception):
    """An error that carries data.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence.
    expected, fix : str
        What was expected instead, and what a person can do.
    data : Any
        What a script may want; JSON-serialisable.
    """

    code: ClassVar[str] = "package"

    def __init__(self, what: str, *, expected: str = "", fix: str = "", **data: Any) -> None:
        self.what, self.expected, self.fix, self.data = what, expected, fix, data
        lines = [what]
        if expected:
            lines.append(f"  expected: {expected}")
        if fix:
            lines.append(f"  fix:      {fix}")
        super().__init__("\n".join(lines))

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON-serialisable data."""
        return {
            "code": self.code,
            "what": self.what,
            "expected": self.expected,
            "fix": self.fix,
            "data": self.data,
        }


class FileDigestError(PackageError):
    """A file of the package is not what its manifest says."""

    code = "digest"


class EnvironmentError_(PackageError):  # noqa: N801 - the plain name is a builtin
    """Other library versions than the package was built with."""

    code = "environment"


class ThreadsError(PackageError):
    """Numerical libraries would use more than one thread."""

    code = "threads"


class GoldenError(PackageError):
    """The golden rows do not give their recorded bits."""

    code = "golden"


class InputError(PackageError):
    """A column is missing, or holds what its kind does not allow."""

    code = "input"


class ScoreError(PackageError):
    """The model failed on the rows, or gave a score that is no number."""

    code = "score"
