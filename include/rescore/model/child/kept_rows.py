"""Rows of the training data in a fitted pipeline: found by shape and by value, whatever they are called.

*By shape*: an array or a container is as long as the fit had rows, or a subsample that a parameter names.
*By value*, against the rows as the pipeline was given them and as each of its steps was: an array holds more
values that few rows share than statistics of a column need; or values that stand in one row together. What
coincides by chance (whole numbers do) is counted by looking for the neighbours of the same values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rescore.errors import RefusedTypeError
from rescore.model.child.held_values import Held, held_values
from rescore.model.child.lengths_of_rows import QUANTILE_ROWS, close_quantiles, lengths_of_rows
from rescore.model.child.rare_values import TOGETHER, columns_with
from rescore.model.child.seen_rows import RARE, SeenRows, texts_given

__all__ = ["KeptRows", "find_kept_rows", "refuse_kept_rows"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: An array may hold this many such values of one column: its quantiles, say.
MANY = 20

#: ``ln`` of the odds against values standing in one row by chance.
BEYOND_CHANCE = math.log(1e4)

# Fitted attributes and types of scikit-learn that keep rows as they were, even of another training.
_ATTRIBUTES = frozenset({"_fit_X", "support_vectors_", "X_fit_", "X_train_", "X_"})
_TYPES = frozenset({"DBSCAN", "KernelDensity", "Nystroem"})

# Trees that predict numbers which are no row's target: depths, or steps towards a class.
_NO_TARGETS = frozenset(
    {
        "IsolationForest",
        "RandomTreesEmbedding",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
    }
)


@dataclass(frozen=True)
class KeptRows:
    """Rows that a part of the pipeline keeps.

    Attributes
    ----------
    place : str
        ``KNeighborsClassifier._fit_X``: what a declared exception names.
    path : str
        Where it is in the pipeline.
    why : str
        How it was found.
    owners : tuple of str
        Types of the objects around it, the outermost first.
    """

    place: str
    path: str
    why: str
    owners: tuple[str, ...]

    def to_json(self) -> dict[str, str]:
        """For the manifest."""
        return {"place": self.place, "path": self.path, "why": self.why}


def refuse_kept_rows(kept: Sequence[KeptRows], declared: Any) -> None:
    """Refuse what keeps rows and is not declared: a package holds no person.

    Parameters
    ----------
    kept : sequence of KeptRows
    declared : collection of str
        ``STORES_TRAINING_ROWS`` of pipeline.py: a type, or ``Type.attribute``.

    Raises
    ------
    RefusedTypeError
        Names the parts and their attributes.
    """
    if isinstance(declared, bool | str) or not isinstance(declared, Collection):
        raise RefusedTypeError(
            f"STORES_TRAINING_ROWS is {declared!r}",
            where="pipeline.py",
            expected="the names of what may keep rows",
            fix='write STORES_TRAINING_ROWS = ("KNeighborsClassifier",), or ("Type.attribute", ...)',
        )
    refused = [one for one in kept if not {one.place, *one.owners} & set(declared)]
    if refused:
        first = refused[0]
        raise RefusedTypeError(
            f"{first.place} keeps rows of the training data: {first.why}",
            where=f"the fitted pipeline: {first.path or 'the estimator itself'}",
            expected="a package that holds no person",
            fix="use another estimator or drop the attribute at the end of fit(), or allow it by name in "
            f'pipeline.py: STORES_TRAINING_ROWS = ("{first.place}",)',
            examples=[f"{one.place} at {one.path or 'the estimator itself'}: {one.why}" for one in refused],
            data={"path": first.path, "type": first.owners[-1] if first.owners else ""},
        )


def find_kept_rows(estimator: Any, content: bytes, seen: SeenRows, *, made: Any = None) -> list[KeptRows]:
    """Everything in an artifact that keeps rows of a fit.

    Parameters
    ----------
    estimator : estimator
        As fitted.
    content : bytes
        The same as an artifact.
    seen : SeenRows
        The rows of the fit.
    made : estimator, optional
        The same before it was fitted: words in its parameters are the author's. A fit may set others.

    Returns
    -------
    list of KeptRows
        In the order of the document; one for each attribute.
    """
    held = list(held_values(content))
    lengths, quantiles = lengths_of_rows(estimator, seen.rows), close_quantiles(estimator, seen.rows)
    given = texts_given(estimator if made is None else made)
    why: dict[int, str] = {}
    for index, one in enumerate(held):
        arrays = any(numbers.size > 1 for numbers in one.numbers)
        if one.attribute in _ATTRIBUTES or (arrays and one.owners and one.owners[-1] in _TYPES):
            why[index] = "it is known to"
        elif any(one.lengths & quantiles.get(owner, set()) for owner in one.owners):
            why[index] = f"it holds {max(one.lengths):,} quantiles, fewer than {QUANTILE_ROWS} rows apart"
        elif alike := sorted(one.lengths & lengths.keys()):
            why[index] = f"it has the length {alike[0]:,}, {lengths[alike[0]]}"
        elif seen.whole_text(one.texts, given=given):
            why[index] = "it holds whole texts of rows"
        elif seen.rare_words(one.texts, MANY + 1, given=given) > MANY:
            why[index] = (
                f"it holds more than {MANY} words that fewer than {RARE} rows have "
                f"(leave them out: min_df={RARE})"
            )
    why |= _by_leaves(held)
    for index, reason in _by_value(held, seen).items():
        why.setdefault(index, reason)
    return [
        KeptRows(held[index].place, held[index].path, reason, held[index].owners)
        for index, reason in sorted(why.items())
    ]


def _by_leaves(held: Sequence[Held]) -> dict[int, str]:
    """Of the trees within the same objects the first, if their leaves hold targets of single rows.

    Leaves of a boosted tree hold what the trees before it left of a target: many in one tree are needed.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, one in enumerate(held):
        if one.few and not _NO_TARGETS & set(one.owners):
            groups.setdefault(one.owners, []).append(index)
    found = {}
    for owners, places in groups.items():
        leaves = [held[index].few for index in places]
        number = max(leaves) if any("Boosting" in owner for owner in owners) else sum(leaves)
        if number > MANY:
            found[places[0]] = (
                f"{number:,} leaves of fewer than {RARE} rows each hold these rows' targets (let them have "
                f"more: min_samples_leaf={RARE})"
            )
    return found


def _remedy(held: Held, classes: bool) -> str:
    """What to do about an encoder by the target that met levels of few rows, or took numbers for classes."""
    if "TargetEncoder" not in held.owners:
        return ""
    if classes:
        return ' (the numbers that the target has were taken for classes: target_type="continuous")'
    return (
        f" (a level that fewer than {RARE} rows have gives away these rows' target; put such levels together "
        f"before: OrdinalEncoder(min_frequency={RARE}, handle_unknown='use_encoded_value', unknown_value=-1))"
    )


def _by_value(held: Sequence[Held], seen: SeenRows) -> dict[int, str]:
    """Which of what is held has values of rows, and how many.

    A column of opposite sign is the column: each holder is looked at once more with its values turned round,
    as another. What many rows have as it is held is nothing of the one row that has its opposite.
    """
    values, holder, vector, coarse = _distinct(held)
    if not values.size:
        return {}
    found: dict[int, str] = {}
    links: list[Integers] = []
    weights: list[Floats] = []
    telling = np.zeros(values.size, dtype=bool)
    expected = np.zeros(int(vector.max()) + 1)
    many = _ManyOfAColumn(values, vector)
    for hits, asked in columns_with(seen, values, coarse):
        at = np.full(values.size, -1)
        at[asked] = hits.rare(values[asked], coarse[asked])
        turned = asked[holder[asked] >= len(held)]
        at[turned[hits.common(-values[turned], coarse[turned])]] = -1
        here = at >= 0
        if not here.any():
            continue
        telling |= here
        number = _each_once(values, holder, here, 2 * len(held))
        for index in np.flatnonzero(number > MANY).tolist():
            mine = holder == index
            once, first = np.unique(values[mine], return_index=True)
            chance = hits.by_chance(once, coarse[mine][first])
            many.ask(index, here & mine, 2 * chance + 3 * math.sqrt(chance) + MANY)
        many.note(here)
        pairs = np.unique(np.column_stack([vector[here], at[here]]), axis=0)
        np.add.at(expected, pairs[:, 0], hits.share(pairs[:, 1]))
        for which, row, weight in hits.rows_of(at):
            links.append(np.column_stack([vector[which], row, which]))
            weights.append(weight)
    for index, count in many.found():
        found.setdefault(index % len(held), f"it holds {count:,} values of one column's rows")
    for linked, count in _linked(
        links, weights, expected, values, holder, vector, telling, seen.rows
    ).items():
        found.setdefault(linked % len(held), f"it holds values that stand together in {count:,} of the rows")
    classes = any(held[index].place == "TargetEncoder.classes_" for index in found)
    return {index: reason + _remedy(held[index], classes) for index, reason in found.items()}


class _ManyOfAColumn:
    """Who holds more values of one column than chance and statistics explain.

    A vector of which another column has twice as many is that column's statistics: of edges of bins, say,
    each column has a vector of its own, and all of them together hit any column often.
    """

    def __init__(self, values: Floats, vector: Integers) -> None:
        self._values, self._vector = values, vector
        self._most = np.zeros(int(vector.max()) + 1, np.int64)
        self._asked: list[tuple[int, Integers, Integers, float]] = []

    def note(self, here: npt.NDArray[np.bool_]) -> None:
        """Take where a column's values are."""
        which, number = np.unique(self._distinct(np.flatnonzero(here))[:, 0], return_counts=True)
        self._most[which] = np.maximum(self._most[which], number)

    def ask(self, index: int, here: npt.NDArray[np.bool_], limit: float) -> None:
        """Look, after all columns, whether this holder has more of this one's values than the limit."""
        places = np.flatnonzero(here)
        which, number = np.unique(self._distinct(places)[:, 0], return_counts=True)
        at = np.searchsorted(which, self._vector[places])
        self._asked.append((index, places, number[at], limit))

    def _distinct(self, places: Integers) -> Integers:
        """The different values in each vector: pairs of the vector and the value's number."""
        pairs = np.column_stack([self._vector[places], _number(self._values[places])])
        return np.asarray(np.unique(pairs, axis=0))

    def found(self) -> Iterator[tuple[int, int]]:
        """Holders and how many values of a column they have."""
        for index, places, number, limit in self._asked:
            most = self._most[self._vector[places]]
            own = places[(most < TOGETHER) | (most < 2 * number)]
            if (count := np.unique(self._values[own]).size) > limit:
                yield index, count


def _distinct(held: Sequence[Held]) -> tuple[Floats, Integers, Integers, npt.NDArray[np.bool_]]:
    """All numbers held but those that every table has, with who holds them and in which vector; then all of
    them with the opposite sign, of further holders and in further vectors.
    """
    values, holder, vector, coarse, offset = [], [], [], [], 0
    for index, one in enumerate(held):
        for numbers, places, held_coarse in zip(one.numbers, one.vectors, one.coarse, strict=True):
            useful = np.isfinite(numbers) & (numbers != 0) & (np.abs(numbers) != 1)
            if _evenly_spaced(numbers):
                useful[1:-1] = False
            values.append(numbers[useful])
            vector.append(places[useful] + offset)
            holder.append(np.full(int(useful.sum()), index))
            coarse.append(held_coarse[useful])
        offset += one.vectors_so_far
    if not values:
        nothing = np.empty(0, np.int64)
        return np.empty(0), nothing, nothing, np.empty(0, dtype=bool)
    straight, owner, place = np.concatenate(values), np.concatenate(holder), np.concatenate(vector)
    return (
        np.concatenate([straight, -straight]),
        np.concatenate([owner, owner + len(held)]),
        np.concatenate([place, place + offset]),
        np.concatenate([*coarse, *coarse]).astype(bool),
    )


def _evenly_spaced(numbers: Floats) -> bool:
    """Whether numbers follow from the first and the last: a grid's, and no rows'."""
    if numbers.size <= TOGETHER or not np.isfinite(numbers).all():
        return False
    grid = np.linspace(numbers[0], numbers[-1], numbers.size)
    return bool(np.abs(numbers - grid).max() <= 1e-12 * np.abs(numbers[[0, -1]]).max())


def _each_once(values: Floats, holder: Integers, here: npt.NDArray[np.bool_], holders: int) -> Integers:
    """How many different ones of the values each holder has."""
    pairs = np.unique(np.column_stack([holder[here].astype(np.float64), values[here]]), axis=0)
    return np.bincount(pairs[:, 0].astype(np.int64), minlength=holders)


def _beyond(number: Integers, expected: Floats) -> Floats:
    """``-ln`` of the chance that a row has so many of a vector's values or more, by Chernoff's bound.

    The number is about a Poisson's: of a wide vector each row has some, whichever columns they are of.
    """
    more = number * np.log(np.maximum(number / expected, 1.0)) - number + expected
    return np.asarray(np.where(number > expected, more, 0.0))


def _linked(
    links: Sequence[Integers],
    weights: Sequence[Floats],
    expected: Floats,
    values: Floats,
    holder: Integers,
    vector: Integers,
    telling: npt.NDArray[np.bool_],
    rows: int,
) -> dict[int, int]:
    """Holders of which at least half of the telling values stand in rows together, with how many rows."""
    if not links:
        return {}
    link, weight = np.concatenate(links), np.concatenate(weights)
    # A value that a row has in two columns (a step's input is a feature as it was) counts once.
    link, once = np.unique(
        np.column_stack([link[:, :2], _number(values[link[:, 2]])]), axis=0, return_index=True
    )
    which, weight = np.concatenate(links)[once, 2], weight[once]
    pairs, pair = np.unique(link[:, :2], axis=0, return_inverse=True)
    together = np.bincount(pair)
    evidence = np.minimum(np.bincount(pair, weights=weight), _beyond(together, expected[pairs[:, 0]]))
    tried = np.bincount(holder[np.unique(vector, return_index=True)[1]], minlength=int(holder.max()) + 1)
    of_pair = np.zeros(len(pairs), np.int64)
    of_pair[pair] = holder[which]
    certain = evidence - math.log(max(rows, 2)) - np.log(np.maximum(tried[of_pair], 1)) > BEYOND_CHANCE
    stands = (together >= TOGETHER) & certain
    explained = np.zeros(values.size, dtype=bool)
    explained[which[stands[pair]]] = True
    found = {}
    for index in np.unique(of_pair[stands]):
        mine = holder == index
        if 2 * np.unique(values[mine & explained]).size >= np.unique(values[mine & telling]).size:
            found[int(index)] = int(np.unique(pairs[stands & (of_pair == index), 1]).size)
    return found


def _number(values: Floats) -> Integers:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
