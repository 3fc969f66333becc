"""The rows that a fit saw: as the pipeline was given them, and as each of its steps was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from rescore.model.runtime.artifact import walk

__all__ = ["RARE", "SeenRows", "texts_given"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Steps' inputs are taken of this many rows, evenly drawn, and of this many numbers in all.
STEP_ROWS, STEP_NUMBERS = 100_000, 20_000_000

#: Of a sparse input, so many columns.
SPARSE_COLUMNS = 1_000

#: What a class of one's own may make of a column before it keeps it. (A column's sign is not looked at.)
FORMS: tuple[Callable[[Floats], Floats], ...] = (lambda one: (one - np.nanmean(one)) / np.nanstd(one),)
#: The same of a continuum alone: of whole numbers and cents these stand on grids of their own, where columns
#: and thresholds that have nothing to do with them stand, too.
FORMS_OF_A_CONTINUUM: tuple[Callable[[Floats], Floats], ...] = (
    lambda one: one - np.nanmean(one),
    lambda one: (one - np.nanmin(one)) / (np.nanmax(one) - np.nanmin(one)),
    lambda one: np.log(np.abs(one)),
    lambda one: np.log1p(np.abs(one)),
)

_MOST_FORMS = len(FORMS) + len(FORMS_OF_A_CONTINUUM)

#: Forms are looked for of columns of which so many values are possible: those of fewer coincide.
POSSIBLE = 100_000

#: A text of so many words is not a word that a vocabulary holds.
WORDS = 4

#: So many words, and so many long texts, are searched for in other rows' texts, as parts of which they may
#: be held: of the words half are the longest, half by chance.
SEARCHED = 200

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrt]")

#: A value that fewer than this many rows have may give a person away.
RARE = 5


@dataclass(frozen=True)
class SeenRows:
    """What a fit saw: columns of numbers with the rows that they stand in, and long texts.

    Attributes
    ----------
    rows : int
        Rows of the fit.
    columns : tuple of (ndarray of float64, ndarray of int), each of shape (n_values,)
        Values and the number of the row of each: features, truth, and what each step was given.
    texts : frozenset of str
        Those of more than a few words, in features of text, that few rows have: their words alone, in lower
        case. The levels of a categorical feature are none: the manifest lists them.
    written : tuple of Series of str
        Features of text.
    levels : frozenset of str
        Words of the levels of categorical features.
    """

    rows: int
    columns: tuple[tuple[Floats, Integers], ...]
    texts: frozenset[str]
    written: tuple[Any, ...] = field(default=(), repr=False)
    levels: frozenset[str] = frozenset()

    @classmethod
    def of(cls, estimator: Any, frame: Any, truth: npt.NDArray[Any]) -> SeenRows:
        """Take the rows from a fit's input, and let its steps transform some of them."""
        every = np.arange(len(frame))
        columns = list(_numeric(frame, every))
        if truth.dtype.kind == "f":  # classes are few
            columns.append((np.asarray(truth, np.float64), every))
        budget = max(1, min(len(frame), STEP_ROWS, STEP_NUMBERS // max(frame.shape[1], 1)))
        some = every[:: -(-len(frame) // budget)]
        forms = list(_forms(columns, min(STEP_ROWS, STEP_NUMBERS // (_MOST_FORMS * max(len(columns), 1)))))
        for matrix in _inputs(estimator, frame.iloc[some]):
            columns += _numeric(matrix, some)
        kinds = {"object", "string", "str"}
        written = tuple(frame[name] for name in frame.columns if str(frame[name].dtype) in kinds)
        texts: Counter[str] = Counter()
        for series in written:
            for text, count in series.value_counts().items():
                if isinstance(text, str) and len(text.split()) >= WORDS:
                    texts[_bare(text)] += count
        few = {text for text, count in texts.items() if count < RARE and text.count(" ") + 1 >= WORDS}
        levels = {
            str(level)
            for name in frame.columns
            if str(frame[name].dtype) == "category"
            for level in frame[name].cat.categories
        }
        few -= {_bare(level) for level in levels}
        words = frozenset(word for level in levels for word in _words(level))
        return cls(len(frame), (*columns, *forms), frozenset(few), written, words)

    def whole_text(self, held: Collection[str], *, given: Collection[str] = ()) -> bool:
        """Whether a long text that few rows have stands in one that is held and that no author wrote.

        In whatever case, with whatever between its words and around it; what is part of other rows' texts is
        none of few.
        """
        asked = 0
        for text in held if self.texts else ():
            words = [] if text in given else _bare(text).split()
            for at in range(len(words) - WORDS + 1):
                for length in self._lengths.get(" ".join(words[at : at + WORDS]), ()):
                    whole = " ".join(words[at : at + length])
                    if whole not in self.texts:
                        continue
                    asked += 1
                    if asked > SEARCHED or self._in_few(whole, self._bare_texts):
                        return True
        return False

    def rare_words(self, held: Collection[str], enough: int, *, given: Collection[str] = ()) -> int:
        """How many words that fewer than ``RARE`` rows' texts have are held; counted up to ``enough``.

        What is part of other rows' texts, as groups of letters are, is no word of few; nor is what the author
        wrote (``given``), or what is a level of a categorical feature.
        """
        asked = {word for text in held for word in _words(text)} - self.levels
        asked -= {word for text in given for word in _words(text)}
        if len(asked) < enough or not self.written:
            return 0
        rare = [word for word in asked if 0 < self._rows_with[word] < RARE]
        longest = sorted(rare, key=lambda word: (-len(word), word))[: SEARCHED // 2]
        others = sorted(rare, key=lambda word: crc32(word.encode()))[: SEARCHED // 2]
        found = 0
        for word in dict.fromkeys([*longest, *others]):
            found += self._in_few(word, self._lower)
            if found == enough:
                break
        return found

    def _in_few(self, part: str, texts: list[str]) -> bool:
        """Whether fewer than ``RARE`` of the texts have the part."""
        return sum(1 for _ in islice((text for text in texts if part in text), RARE)) < RARE

    @cached_property
    def _lengths(self) -> dict[str, set[int]]:
        """How many words the long texts have, by the first of them."""
        found: dict[str, set[int]] = {}
        for text in self.texts:
            words = text.split()
            found.setdefault(" ".join(words[:WORDS]), set()).add(len(words))
        return found

    @cached_property
    def _bare_texts(self) -> list[str]:
        return [_bare(one) for series in self.written for one in series if isinstance(one, str)]

    @cached_property
    def _lower(self) -> list[str]:
        return [one.lower() for series in self.written for one in series if isinstance(one, str)]

    @cached_property
    def _rows_with(self) -> Counter[str]:
        """How many texts have each word."""
        return Counter(word for text in self._lower for word in _words(text))


def texts_given(estimator: Any) -> set[str]:
    """The texts among the parameters that steps are made with: stop words, vocabularies."""
    found: set[str] = set()
    for _, part in walk(estimator):
        if not isinstance(part, type) and hasattr(part, "get_params"):
            for value in part.get_params(deep=False).values():
                found |= set(_texts_in(value))
    return found


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple | set | frozenset | np.ndarray):
        for one in value:
            yield from _texts_in(one)


def _bare(text: str) -> str:
    """A text's words in lower case, also from JSON."""
    if "\\" in text:
        text = _ESCAPED.sub(lambda one: chr(int(one[1], 16)) if one[1] else " ", text)
    return " ".join(re.findall(r"\w+", text.lower()))


def _words(text: str) -> set[str]:
    return {*text.lower().split(), *re.findall(r"\w+", text.lower())}


def _forms(columns: list[tuple[Floats, Integers]], rows: int) -> Iterator[tuple[Floats, Integers]]:
    """What the usual functions of one column make of each column, of so many rows at most."""
    for values, places in list(columns):
        step = -(-values.size // max(rows, 1))
        some, at = values[::step], places[::step]
        possible = _possible(some)
        if np.unique(some[np.isfinite(some)]).size <= RARE or possible < POSSIBLE:
            continue
        forms = FORMS if np.isfinite(possible) else (*FORMS, *FORMS_OF_A_CONTINUUM)
        with np.errstate(all="ignore"):  # copies: a view would keep the form of all rows
            yield from ((form(values)[::step].copy(), at) for form in forms)


def _possible(values: Floats) -> float:
    """How many values a column may have between its extremes, by the grid that they stand on."""
    there = values[np.isfinite(values)]
    for digits in range(7):
        scaled = there * 10.0**digits
        if (np.abs(scaled - np.rint(scaled)) <= 1e-4).all():
            return float(np.ptp(scaled))
    return float("inf")


def _inputs(estimator: Any, frame: Any) -> Iterator[Any]:
    """What each step within an estimator is given, beyond the input itself."""
    if hasattr(estimator, "steps"):
        yield from _through(estimator.steps, frame)
    elif hasattr(estimator, "transformers_"):
        for _, transformer, columns in estimator.transformers_:
            given = _chosen(frame, columns) if hasattr(transformer, "transform") else None
            if given is not None:
                yield from _inputs(transformer, given)
    else:
        for inner in _inner(estimator):
            yield from _inputs(inner, frame)


def _through(steps: Any, frame: Any) -> Iterator[Any]:
    """The inputs of a pipeline's steps but the first, and of what is within them."""
    current = frame
    for _, step in steps:
        if current is not frame:
            yield current
        yield from _inputs(step, current)
        if step in (None, "passthrough"):
            continue
        try:
            current = step.transform(current)
        except Exception:  # the last step, or one that takes no rows outside of fit()
            return


def _chosen(frame: Any, columns: Any) -> Any:
    """The columns that a transformer gets; None if rows without names can't give them."""
    try:
        return frame[columns] if hasattr(frame, "columns") else frame[:, columns]
    except Exception:  # columns named otherwise than the rows' are
        return None


def _inner(estimator: Any) -> list[Any]:
    """Fitted estimators that get their rows as another one does."""
    found = [getattr(estimator, name, None) for name in ("best_estimator_", "estimator_", "regressor_")]
    found += [one[1] for one in getattr(estimator, "transformer_list", [])]
    found += [getattr(one, "estimator", None) for one in getattr(estimator, "calibrated_classifiers_", [])]
    if hasattr(estimator, "named_estimators_"):
        found += list(estimator.named_estimators_.values())
    return [one for one in found if hasattr(one, "fit")]


def _numeric(matrix: Any, rows: Integers) -> Iterator[tuple[Floats, Integers]]:
    """The columns of numbers of a frame, an array or a sparse matrix, with the rows of their values."""
    if hasattr(matrix, "tocsc"):
        sparse = matrix.tocsc()
        for place in range(min(sparse.shape[1], SPARSE_COLUMNS)):
            part = slice(sparse.indptr[place], sparse.indptr[place + 1])
            yield sparse.data[part].astype(np.float64), rows[sparse.indices[part]]
        return
    if hasattr(matrix, "columns"):
        for name in matrix.columns:
            series = matrix[name]
            if str(series.dtype).startswith("datetime"):
                moments = series.to_numpy(dtype="M8[us]", na_value=np.datetime64("NaT", "us"))
                unknown = np.isnat(moments)
                yield np.where(unknown, np.nan, moments.astype(np.int64).astype(np.float64)), rows
            elif series.dtype.kind in "biuf":
                yield series.to_numpy(np.float64), rows
        return
    array = np.asarray(matrix)
    if array.dtype.kind in "biuf" and array.ndim <= 2 and len(array) == len(rows):
        for values in array.reshape(len(array), -1).T:
            yield values.astype(np.float64), rows
