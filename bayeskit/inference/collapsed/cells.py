"""A plate of one-number cores, one for each cell and independent: one vectorised quadrature.

Ten thousand regressions with a variance each are ten thousand one-number cores, not one large core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.panels import ORDER, gauss_points
from bayeskit.distributions.transforms import Transform, transform_of
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.collapsed.component import CollapsedDraws, held_names, piece_notes
from bayeskit.inference.collapsed.node_mixtures import NormalMixtures, core_marginal
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.line import Line, integrate_line, limits_of
from bayeskit.inference.elementwise import Elementwise, elementwise
from bayeskit.inference.elimination.eliminate import Elimination
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.grouped_block import GroupedBlock, grouped_block
from bayeskit.inference.initial import dispersed
from bayeskit.inference.propriety import check_fit_of_groups
from bayeskit.inference.unconstrained import log_jacobian
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
_SEED = 20261122  # of the points from which the search for the cells' masses starts
_EACH = 8  # of every kind
_NUMBERS = 4_000_000  # held at once when cells are drawn


def cells_core(problem: Problem, elimination: Elimination) -> CellsCore | Refusal:
    """Return a plate of one-number cores, integrated; or what couples its cells."""
    density = cell_density(problem, elimination)
    if isinstance(density, Refusal):
        return density
    for group in density.groups:
        check_fit_of_groups(density.name, group)
    prior = density.latent.prior
    with np.errstate(all="ignore"):
        start = density.start()
        try:
            line = integrate_line(density, start, name=density.name, limits=limits_of(density.transform, start.size))
        except (ImproperError, RefusedError) as error:
            if isinstance(error, RefusedError) or prior.distribution.is_proper:
                return Refusal(str(error))  # the tails are too heavy for the rule, not improper
            raise
    return CellsCore(problem, elimination, density, line)


class CellDensity:
    """The collapsed log density of every element of one latent, on the unconstrained scale: ``(n, cells)``."""

    def __init__(self, problem: Problem, conditional: Elementwise, groups: list[GroupedBlock]) -> None:
        self.problem, self.conditional, self.groups = problem, conditional, groups
        self.latent = conditional.latent
        self.name = self.latent.name

    @property
    def transform(self) -> Transform:
        """From the latent's own scale to the unconstrained one."""
        prior = self.latent.prior
        return transform_of(prior.distribution, *prior.parameter_arrays(self.problem.env))

    def unpack(self, u: Array) -> tuple[dict[str, Array], Array]:
        """Return the latent at points ``(n, cells)``, by name, and the log Jacobian ``(n, cells)``."""
        transform = self.transform
        shaped = u.reshape(len(u), *self.latent.shape)
        x = transform.inverse(shaped)
        return {self.name: x}, log_jacobian(transform, shaped, x).reshape(u.shape)

    def __call__(self, u: Array) -> Array:
        """Return the log density at points ``(n, cells)``, each of its own cell."""
        values, jacobian = self.unpack(u)
        env = {**self.problem.env, **values}
        total = self.conditional.log_density(env).reshape(u.shape) + jacobian
        for group in self.groups:
            total = total + group.log_marginal(env)
        return np.where(np.isnan(total), -np.inf, total)

    def start(self) -> Array:
        """Return, for every cell, the best of points dispersed over its prior: ``(cells,)``."""
        rng = np.random.default_rng(_SEED)
        states = dispersed(self.problem, [self.name], rng, _EACH)
        points = np.concatenate([self.transform.forward(s[self.name]).reshape(_EACH, -1) for s in states])
        points = np.where(np.isfinite(points), points, 0.0)
        return np.take_along_axis(points, self(points).argmax(axis=0)[None], axis=0)[0]


def cell_density(problem: Problem, elimination: Elimination) -> CellDensity | Refusal:
    """Return the density of the cells of a core that is one latent, or what couples them."""
    (name,) = elimination.core
    groups = []
    for piece in elimination.pieces:
        found = grouped_block(piece.block, [name]) if isinstance(piece, GaussianPiece) else None
        if found is None:
            integrated = ", ".join(f"'{n}'" for n in piece.names)
            return Refusal(f"the elements of '{name}' are coupled by {integrated}")
        groups.append(found)
    absorbed = {id(f) for p in elimination.pieces for f in p.factors}
    own = replace(problem, factors=tuple(f for f in problem.factors if id(f) not in absorbed))
    conditional = elementwise(own, name)
    if isinstance(conditional, Refusal):
        return conditional
    if conditional.latent.prior.event or conditional.latent.prior.parents - problem.env.keys():
        return Refusal(f"the elements of '{name}' are coupled by their prior")
    return CellDensity(problem, conditional, groups)


class CellsCore:
    """A latent whose elements are integrated by quadrature, each on its own, and what is integrated out given them."""

    def __init__(self, problem: Problem, elimination: Elimination, density: CellDensity, line: Line) -> None:
        self.problem, self.density, self.line = problem, density, line
        self.core, self.pieces = (density.name,), elimination.pieces
        conditional = density.conditional
        own = (density.latent.prior, *(f for f, _ in conditional.children))
        self.factors = own + tuple(f for p in self.pieces for f in p.factors)
        self.names = held_names(problem, self.core, self.pieces)
        self.unchecked: tuple[str, ...] = ()  # the quadrature has seen the tails
        self.label = f"{line.cells} independent cores of one number, by quadrature together (drawn independently)"
        self.notes: Mapping[str, str] = {density.name: self.label, **piece_notes(self.pieces)}

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Draw every cell by its inverse cdf, and the rest given it: independent draws."""
        count = chains * draws
        found = {n: self.problem.latents[n].empty(count) for n in self.names}
        step = max(1, _NUMBERS // (self.line.cells * (1 + sum(g.width for g in self.density.groups))))
        with np.errstate(all="ignore"):
            u = self.line.sample(rng, count)
            lp = self.line.panels.total_log_density(u) + self.line.log_mass.sum()
            for start in range(0, count, step):
                at = slice(start, min(start + step, count))
                values, jacobian = self.density.unpack(u[at])
                lp[at] -= jacobian.sum(axis=1)
                env = {**self.problem.env, **values}
                for group in self.density.groups:
                    drawn, own = group.draw(env, rng, at.stop - start)
                    values |= drawn
                    lp[at] += own.sum(axis=1)
                for name, value in values.items():
                    found[name][at] = value
        return CollapsedDraws(found, lp)

    def log_evidence(self) -> tuple[float, float]:
        """Return the sum of the logs of the integrals, and the error of the rule."""
        return float(self.line.log_mass.sum()), float(self.line.error.sum())

    def marginal(self, name: str, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return the density of the cells, or for what is integrated out the mixtures over their nodes."""
        panels, shape = self.line.panels, self.problem.latents[name].shape
        numbers = wrap(np.arange(np.prod(shape, dtype=int)).reshape(shape))
        if name in self.core:
            return core_marginal(panels, self.density.transform, numbers)
        group = next(g for g in self.density.groups if name in g.names)
        if self.problem.latents[name].prior.event:
            return Refusal("its entries are normal together, and mixtures of vectors are not given as distributions")
        of_group, of_unknown = (
            group.by_name(np.broadcast_to(n, (1, group.groups, group.width)))[name].reshape(-1).astype(np.int64)
            for n in (np.arange(group.groups)[:, None], np.arange(group.width))
        )
        systems = group.systems.of(slice(None))
        return NormalMixtures(panels, systems, self._precisions(group), of_group, of_unknown).over(numbers)

    def _precisions(self, group: GroupedBlock) -> list[Array]:
        """Precisions of a group's moving rows at the nodes, found for those of one panel after the other."""
        edges = self.line.panels.edges
        found = [np.empty((ORDER * (len(edges) - 1), group.groups)) for _ in group.systems.moving]
        with np.errstate(all="ignore"):
            for panel in range(len(edges) - 1):
                values, _ = self.density.unpack(gauss_points(edges[panel : panel + 2]))
                for table, part in zip(found, group.precisions({**self.problem.env, **values}), strict=True):
                    table[panel * ORDER : (panel + 1) * ORDER] = part
        return found
