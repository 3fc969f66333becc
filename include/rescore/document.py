"""Documents as values: what is stored as JSON is a frozen, typed class that knows its format.

A document is written by ``to_dict`` and read by ``from_dict``. Fields that a later release added are
kept as they are, so that reading and writing loses nothing.

**Bump rule.** A new field with a default, read as absent from older documents, needs no new number. A
field that is dropped, renamed or means something else does; ``upgraded`` then reads the older form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from rescore.errors import DocumentError
from rescore.json_values import json_value

__all__ = ["Document", "Number", "Part"]


class Part(BaseModel):
    """A typed piece of a document; unknown fields are kept, and attributes can't be set."""

    model_config = ConfigDict(frozen=True, extra="allow", arbitrary_types_allowed=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values; numbers that are not finite are None."""
        written: dict[str, Any] = json_value(self.model_dump(mode="json"), not_finite=lambda _: None)
        return written

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        DocumentError
            A field is missing or of another type.
        """
        try:
            return cls.model_validate(stored)
        except ValidationError as error:
            first = error.errors()[0]
            raise DocumentError(
                f"a stored {cls.__name__} can't be read: {'.'.join(str(part) for part in first['loc'])}: "
                f"{first['msg']}",
                expected=f"what this release writes as a {cls.__name__}",
                fix="it was changed by hand, or written by a later release: read it with that",
                data={"errors": error.error_count()},
            ) from None


class Document(Part):
    """A whole stored document, with the number of its format under ``format``."""

    #: The format that this release writes; see the bump rule.
    FORMAT: ClassVar[int] = 1

    @model_serializer(mode="wrap")
    def _with_format(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Every document carries its format, within another document too."""
        return {"format": self.FORMAT, **fields(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote, in this format or an older one.

        Raises
        ------
        DocumentError
            Of a format that this release does not know, or not what the class says.
        """
        fields = dict(stored) if isinstance(stored, Mapping) else {"format": f"{type(stored).__name__}"}
        number = fields.pop("format", 1)  # the first releases wrote none
        if not isinstance(number, int) or number > cls.FORMAT:
            raise DocumentError(
                f"a stored {cls.__name__} has format {number}",
                expected=f"format {cls.FORMAT} or older",
                fix="upgrade rescore here",
            )
        return super().from_dict(cls.upgraded(fields, number) if number < cls.FORMAT else fields)

    @classmethod
    def upgraded(cls, stored: dict[str, Any], number: int) -> dict[str, Any]:
        """The fields of an older format as this one has them; classes with a later format override it."""
        return stored


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


#: A measured number; None where it is undefined or infinite, so that a document equals itself.
Number = Annotated[float | None, BeforeValidator(_finite)]
