"""Distances between two rows of counts. Pure numpy, no judgement.

Every function takes counts (not shares) of shape ``(n_windows, n_cells)`` and compares each row of
``window`` with the same row of ``others``. Two equal distributions have distance 0 exactly, and so
have two windows of which one is empty (nothing is known of it).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["psi", "psi_freedom", "psi_noise", "shift", "shift_noise", "total_variation", "wasserstein"]

Floats = npt.NDArray[np.float64]


def psi(window: npt.NDArray[Any], others: npt.NDArray[Any]) -> Floats:
    """Population stability index, the symmetrised Kullback-Leibler divergence (Jeffreys 1946).

    ``sum((p - q) * ln(p / q))`` with ``p`` the window's and ``q`` the others' share of each cell
    (Siddiqi, *Credit Risk Scorecards*, 2006, p. 136; no unit). A cell that is empty on one side
    counts as half a row there, a cell that is empty on both sides counts nothing.

    Parameters
    ----------
    window, others : ndarray, shape (n_windows, n_cells)
        Rows per cell.

    Returns
    -------
    ndarray of float, shape (n_windows,)
    """
    p, q, rows = _shares(window, others)
    p_floor = np.where((p == 0) & (q > 0), 0.5 / rows[0], p)
    q_floor = np.where((q == 0) & (p > 0), 0.5 / rows[1], q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p > 0) | (q > 0), (p_floor - q_floor) * np.log(p_floor / q_floor), 0.0)
    return np.where(_comparable(window, others), terms.sum(axis=1), 0.0)


def psi_noise(window: npt.NDArray[Any], others: npt.NDArray[Any]) -> Floats:
    """What :func:`psi` is on average when nothing drifted and rows are independent.

    ``(B - 1) * (1/n + 1/m)`` for ``B`` cells with rows, ``n`` and ``m`` rows (Yurdakul and Naranjo,
    "Statistical properties of the population stability index", *Journal of Risk Model Validation*
    14(4), 2020, theorem 1).

    Parameters
    ----------
    window, others : ndarray, shape (n_windows, n_cells)
        Rows per cell.

    Returns
    -------
    ndarray of float, shape (n_windows,)
    """
    return np.asarray(psi_freedom(window, others) * (1 / _rows(window) + 1 / _rows(others)))


def psi_freedom(window: npt.NDArray[Any], others: npt.NDArray[Any]) -> Floats:
    """Degrees of freedom of :func:`psi`'s chi-square: one fewer than there are cells with rows.

    ``window`` and ``others`` are rows per cell, shape (n_windows, n_cells); returned is shape (n_windows,).
    """
    cells = (window + others > 0).sum(axis=1)
    return np.asarray(np.maximum(cells - 1, 0), dtype=np.float64)


def shift(window: npt.NDArray[Any], others: npt.NDArray[Any], places: Floats) -> Floats:
    """Difference of the mean places of the window's and of the others' rows, signed.

    With normal scores as places it is the numerator of van der Waerden's test (*Indagationes
    Mathematicae* 14, 1952), in standard deviations of a normal variable: sensitive to shifts, where
    PSI is to shapes, untouched by heavy tails, and not bounded by training's range.

    Parameters
    ----------
    window, others : ndarray, shape (n_windows, n_cells)
        Rows per cell.
    places : ndarray of float, shape (n_cells,)
        Where each cell lies.
    """
    p, q, _ = _shares(window, others)
    return np.where(_comparable(window, others), p @ places - q @ places, 0.0)


def shift_noise(window: npt.NDArray[Any], others: npt.NDArray[Any], places: Floats) -> Floats:
    """Variance of :func:`shift` when nothing drifted and rows are independent.

    ``v * (1/n + 1/m)`` for ``n`` and ``m`` rows and the others' variance ``v`` of places.

    Parameters
    ----------
    window, others : ndarray, shape (n_windows, n_cells)
        Rows per cell.
    places : ndarray of float64, shape (n_cells,)
        Where each cell lies, as for :func:`shift`.

    Returns
    -------
    ndarray of float, shape (n_windows,)
    """
    _, q, _ = _shares(window, others)
    spread = q @ places**2 - (q @ places) ** 2
    return np.asarray(np.maximum(spread, 0.0) * (1 / _rows(window) + 1 / _rows(others)))


def total_variation(window: npt.NDArray[Any], others: npt.NDArray[Any]) -> Floats:
    """Share of rows that would have to change their level: ``sum(|p - q|) / 2``, from 0 to 1.

    Parameters
    ----------
    window, others : ndarray, shape (n_windows, n_cells)
        Rows per cell.

    Returns
    -------
    ndarray of float, shape (n_windows,)
    """
    p, q, _ = _shares(window, others)
    return np.where(_comparable(window, others), np.abs(p - q).sum(axis=1) / 2, 0.0)


def wasserstein(
    window: npt.NDArray[Any],
    others: npt.NDArray[Any],
    edges: Floats,
    *,
    low_means: tuple[float, float],
    high_means: tuple[float, float],
) -> float:
    """Wasserstein-1 distance (earth mover's), in the feature's own unit, of two single windows.

    The area between the two cumulative distributions (Vallender, *Theory of Probability and its
    Applications* 18, 1974), which are taken as linear between the edges of the inner cells. In the
    two open outer cells the area is ``|p * (mean_p - edge) - q * (mean_q - edge)|``, which is exact
    if the two distributions do not cross there. On raw values it is within a few percent of exact.

    Parameters
    ----------
    window, others : ndarray, shape (n_cells,)
        Rows per cell, one cell more than edges.
    edges : ndarray of float, shape (n_cells - 1,)
        Upper ends of the cells, in the feature's unit.
    low_means, high_means : pair of float
        Mean of the window's and of the others' values in the first and in the last cell.
    """
    n, m = window.sum(), others.sum()
    if n == 0 or m == 0 or edges.size == 0:
        return 0.0
    p, q = window / n, others / m
    gaps = (np.cumsum(p) - np.cumsum(q))[:-1]
    left, right = gaps[:-1], gaps[1:]
    crossing = left * right < 0
    total = np.abs(left) + np.abs(right)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        widths = np.diff(edges)
        areas = np.where(crossing, (left**2 + right**2) / (2 * total), total / 2) * widths
    inner = float(np.nansum(areas))
    low = _outer(p[0], low_means[0], edges[0]) - _outer(q[0], low_means[1], edges[0])
    high = _outer(p[-1], high_means[0], edges[-1]) - _outer(q[-1], high_means[1], edges[-1])
    return inner + abs(low) + abs(high)


def _outer(share: float, mean: float, edge: float) -> float:
    return 0.0 if share == 0 or np.isnan(mean) else float(share * (mean - edge))


def _rows(counts: npt.NDArray[Any]) -> Floats:
    return np.asarray(np.maximum(counts.sum(axis=1), 1), dtype=np.float64)


def _comparable(window: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((window.sum(axis=1) > 0) & (others.sum(axis=1) > 0))


def _shares(
    window: npt.NDArray[Any], others: npt.NDArray[Any]
) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    n, m = _rows(window)[:, None], _rows(others)[:, None]
    return window / n, others / m, (n, m)
