"""A plate about the points of a core that matter: cells of many rows as polynomials, the others as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayeskit.inference.core.predictor import TooLarge, read_predictor
from bayeskit.inference.elimination.cell_modes import Cells, Modes, find_modes
from bayeskit.inference.elimination.expansion import Design, Expansion, PolynomialRows, Region, expand, stacked
from bayeskit.inference.elimination.general_cells import Starter
from bayeskit.inference.elimination.linear_cells import Layout, LinearCells
from bayeskit.inference.elimination.linear_plates import LinearPlate, RowsOf
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]

_CHECKED = 6  # points of the region at which the polynomials are compared with the rows


class NearPlate(LinearPlate):
    """A linear plate whose rows are expanded; it answers as the plate does, where its expansions hold.

    Parameters
    ----------
    plate : LinearPlate
        The plate with all rows.
    expansions : tuple of Expansion
        Of children of which most rows could be.
    rest : tuple of RowsOf
        Rows that could not be.
    tolerance : float
        Error of the log marginal up to which it answers.
    """

    def __init__(
        self, plate: LinearPlate, expansions: tuple[Expansion, ...], rest: tuple[RowsOf, ...], tolerance: float
    ) -> None:
        super().__init__(plate.general, rest)
        self.expansions, self.tolerance = expansions, tolerance
        self.numbers += 5 * self.width  # a polynomial takes about as long as so many rows
        held = int(sum(np.isfinite(e.radius).sum() for e in expansions))
        self.description = f"{plate.description}, the rows of {held:,} of them as polynomials about the mode"

    def cells(self, env: Environment, batch: int) -> tuple[LinearCells, Array]:
        """Return the cells of all entries of a batch, one entry after another, and what does not depend on them."""
        cells, rest = super().cells(env, batch)
        parts = [e.at(env, batch, self.width) for e in self.expansions]
        return replace(cells, expanded=tuple(e for e, _ in parts)), rest + sum(p for _, p in parts)

    def starter(self, env: Environment, batch: int) -> Starter:
        """Return where modes are looked for: Newton's step from the middle of where cells peaked."""

        def start(cells: Cells) -> tuple[Array, Array]:
            assert isinstance(cells, LinearCells)
            square = cells.spread * cells.spread
            expanded = [e for e in cells.expanded if isinstance(e, PolynomialRows)]
            at = expanded[0].middle
            slope, curvature = np.zeros(at.size), np.zeros(at.size)
            for rows in expanded:
                first, second = rows.amid
                slope, curvature = slope + first, curvature - second
            step = (square * slope - (at - cells.centre)) / (1.0 + square * curvature)
            x = np.where(curvature > 0.0, at + step, at)
            return np.nan_to_num((x - cells.centre) / cells.spread), np.ones(at.size)

        return start

    def bound(self, env: Environment, batch: int) -> Array:
        """Return the bound on the error of a log density: ``(batch,)``; infinite where it is above the tolerance."""
        total = np.zeros(batch)
        for expansion in self.expansions:
            total = total + expansion.bound(env)
        return np.where(total <= self.tolerance, total, np.inf)

    def strays(self, cells: Cells, modes: Modes, rough: Array, z: Array) -> Array:
        """Whether cells, or what was drawn of them, reach beyond where they are expanded: ``(cells,)``.

        Parameters
        ----------
        cells : Cells
            Of this plate.
        modes : Modes
            Theirs.
        rough : array (some,)
            Those that are not near normal, of which modes and widths do not say how far they reach.
        z : array (copies, cells)
            Draws, or none.
        """
        assert isinstance(cells, LinearCells)
        x, width = cells.centre + cells.spread * modes.at, cells.spread * modes.scale
        drawn = cells.centre + cells.spread * z if z.size else x[None]
        far = np.zeros(cells.size, dtype=bool)
        far[rough] = True
        out = np.zeros(cells.size, dtype=bool)
        for rows in cells.expanded:
            if isinstance(rows, PolynomialRows):
                out |= rows.strays(x, width) | (np.abs(drawn - rows.middle) > rows.radius).any(axis=0)
                out |= far & np.isfinite(rows.radius)
        return out


def near_plate(
    problem: Problem, plate: LinearPlate, env: Environment, batch: int, tolerance: float
) -> NearPlate | None:
    """Return the plate expanded about some points of the core; None where that is of no use.

    Parameters
    ----------
    problem : Problem
        The bound model.
    plate : LinearPlate
        With all rows.
    env : mapping
        The points, ``(batch, *dims)``: about as many and as far apart as their posterior draws.
    batch : int
        How many.
    tolerance : float
        Error of the log marginal of the plate to stay below.
    """
    cells, _ = plate.cells(env, batch)
    start, scale = plate.starter(env, batch)(cells)
    modes = find_modes(cells, start, scale)
    if not modes.found.all():
        return None
    shape = (batch, plate.width)
    at = (cells.centre + cells.spread * modes.at).reshape(shape)
    width = (cells.spread * modes.scale).reshape(shape)
    expansions: list[Expansion] = []
    rest: list[RowsOf] = []
    for (factor, _), rows in zip(plate.general.conditional.children, plate.rows, strict=True):
        found = _expanded(problem, factor, rows, env, (at, width), tolerance / len(plate.rows))
        if found is None:
            rest.append(rows)
        else:
            expansions.append(found[0])
            rest += found[1]
    if not expansions:
        return None
    near = NearPlate(plate, tuple(expansions), tuple(rest), tolerance)
    return near if _agrees(plate, near, env, modes.at.reshape(shape), modes.scale.reshape(shape)) else None


def _expanded(
    problem: Problem, factor: Factor, rows: RowsOf, env: Environment, modes: tuple[Array, Array], tolerance: float
) -> tuple[Expansion, list[RowsOf]] | None:
    """Return the expansion of a child's rows, and its rows that are not in it."""
    known = problem.env.keys()
    names = tuple(n for n in problem.latents if n in rows.offset.variables and n not in known)
    if not rows.coefficient.variables <= known or any(problem.latents[n].prior.distribution.discrete for n in names):
        return None
    predictor = read_predictor(problem, rows.offset, rows.dims, names, factor.sizes, 1)
    if predictor is None:
        return None
    try:
        design = predictor.dense(np.arange(predictor.units))[:, 0, :]
    except TooLarge:
        return None
    design = (design if rows.order is None else design[rows.order]).T
    region = Region(names, stacked(env, names), *modes)
    offset = design[-1] + region.points.mean(axis=0) @ design[:-1]
    if not np.isfinite(offset).all():
        return None
    layout = Layout(np.bincount(rows.owner, minlength=region.at.shape[1]))
    c = np.broadcast_to(rows.laid(rows.coefficient, problem.env)[0], rows.owner.shape)
    held = Design(rows.kind, layout, offset, design[:-1], c, rows.y, rows.weight)
    found = expand(held, region, rows.constant, tolerance)
    if found is None:
        return None
    expansion, cells = found
    left = ~np.isin(rows.owner, cells)
    return expansion, [rows.some(left)] if left.any() else []


def _agrees(plate: LinearPlate, near: NearPlate, env: Environment, z: Array, scale: Array) -> bool:
    """Whether the polynomials are the rows, at some points and about the modes of the cells there."""
    held = np.flatnonzero(np.isfinite(near.bound(env, len(z))))[:_CHECKED]
    if not held.size:
        return False
    here = {k: v if len(v) == 1 else v[held] for k, v in env.items()}
    at = z[held].ravel() + scale[held].ravel() * np.array([[-1.0], [0.0], [1.0]])
    values = []
    for one in (plate, near):
        cells, rest = one.cells(here, held.size)
        values.append(cells.log_density(at).reshape(len(at), held.size, -1).sum(axis=2) + rest)
    return bool(np.abs(values[0] - values[1]).max() <= near.tolerance)
