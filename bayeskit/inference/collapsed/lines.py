"""A core of one number: integrated by quadrature, drawn independently by the inverse cdf.

A plate of independent one-number cores, one for each cell, is one vectorised quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions.transforms import Transform
from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.collapsed.component import CollapsedDraws, held_names, piece_notes
from bayeskit.inference.collapsed.node_mixtures import core_marginal
from bayeskit.inference.collapsed.starts import dispersed_points
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.line import Line, integrate_line, limits_of
from bayeskit.inference.elimination.conjugate import ConjugatePiece
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.eliminate import Elimination
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.elimination.plates import PlateIntegral
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def line_core(problem: Problem, elimination: Elimination) -> LineCore | Refusal:
    """Return a core of one number, integrated; or why it cannot be."""
    density = CollapsedDensity(problem, elimination.core, elimination.pieces)
    (name,) = density.names

    def log_density(u: Array) -> Array:
        return density(u.reshape(-1, 1)).reshape(u.shape)

    starts, heights = dispersed_points(problem, density)
    if not len(starts):
        return Refusal("no point of positive density was found to start from")
    start = starts[np.argmax(heights)]
    transform = density.scale.transform(name, problem.env)
    try:
        line = integrate_line(log_density, start, name=name, limits=limits_of(transform, 1))
    except (ImproperError, RefusedError) as error:
        if isinstance(error, RefusedError) or problem.latents[name].prior.distribution.is_proper:
            return Refusal(str(error))  # the tails are too heavy for the rule, not improper
        raise
    return LineCore(problem, density, line)


class LineCore:
    """A latent of one number, integrated by quadrature, and what is integrated out given it."""

    def __init__(self, problem: Problem, density: CollapsedDensity, line: Line) -> None:
        self.problem, self.density, self.line = problem, density, line
        self.core, self.pieces, self.factors = tuple(density.names), density.pieces, density.factors
        self.names = held_names(problem, self.core, self.pieces)
        self.unchecked: tuple[str, ...] = ()  # the quadrature has seen the tails
        self.label = f"core of one number, by quadrature with {len(line.nodes)} nodes (drawn independently)"
        self.notes = {self.core[0]: self.label, **piece_notes(self.pieces)}

    @property
    def transform(self) -> Transform:
        """From the core's own scale to the unconstrained one."""
        return self.density.scale.transform(self.core[0], self.problem.env)

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Draw the core by its inverse cdf, and the rest given it: independent draws."""
        u = self.line.sample(rng, chains * draws)
        values, jacobian = self.density.scale.unpack(u, self.problem.env)
        lp = (self.line.log_density(u) + self.line.log_mass)[:, 0] - jacobian
        drawn, log_density = self.density.draw_pieces(values, rng)
        return CollapsedDraws(values | drawn, lp + log_density)

    def log_evidence(self) -> tuple[float, float]:
        """Return the log of the integral, and the errors of its rule and of those of plates below the core."""
        below = sum(piece.error for piece in self.pieces if isinstance(piece, PlateIntegral))
        return float(self.line.log_mass.sum()), float(self.line.error.sum() + below)

    def marginal(self, name: str, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return the core's density, or for what is integrated out the mixture over the nodes."""
        from bayeskit.distributions.mixture import Mixture, over_nodes

        if name in self.core:
            shape = self.problem.latents[name].shape
            return core_marginal(self.line.panels, self.transform, wrap(np.arange(self.line.cells).reshape(shape)))
        piece = next(p for p in self.pieces if name in p.names)
        if isinstance(piece, ConjugatePiece) and piece.alike is not None:
            with np.errstate(all="ignore"):
                of_classes = piece.conditional_of_classes(self.at_nodes(), over_nodes(_over_classes))
            return Mixture(of_classes, self.line.panels).over(wrap(piece.alike.of))
        with np.errstate(all="ignore"):
            base = piece.conditional(name, self.at_nodes(), over_nodes(wrap))
        return base if isinstance(base, Refusal) else Mixture(base, self.line.panels)

    def linear(self, weights: Mapping[str, Array], offset: Array, wrap: Callable[..., Any]) -> Distribution | None:
        """Return linear forms of one Gaussian block below the core: weights ``(forms, *dims)``; None else."""
        from bayeskit.distributions.mixture import Mixture, over_nodes

        piece = next((p for p in self.pieces if set(weights) <= set(p.names)), None)
        if not isinstance(piece, GaussianPiece) or not set(weights) <= set(piece.block.names):
            return None
        with np.errstate(all="ignore"):
            base = piece.linear_distribution(weights, offset, self.at_nodes(), over_nodes(wrap))
        return Mixture(base, self.line.panels)

    def at_nodes(self) -> dict[str, Array]:
        """Return what is known, and the core at the nodes."""
        values, _ = self.density.scale.unpack(self.line.nodes, self.problem.env)
        return {**self.problem.env, **values}


def _over_classes(values: Array) -> Any:
    """Label what classes of cells have."""
    from xarray import DataArray

    return DataArray(values, dims="class")
