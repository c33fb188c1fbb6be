r"""The mode of the joint density of connected latents.

Gaussian blocks are profiled out: given the rest their highest point is their mean, where the joint density is

.. math:: p(\hat x, s, y) = p(s, y)\, (2 \pi)^{-d/2} |P(s)|^{1/2},

the marginal density of the rest over that of the block. What is left is climbed on the unconstrained scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeskit.distributions.transforms import Identity
from bayeskit.errors import RefusedError
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.collapsed.laplace import MOST_NUMBERS
from bayeskit.inference.collapsed.starts import dispersed_points
from bayeskit.inference.core.modes import Mode, find_modes
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.structure import connected, gaussian_latents
from bayeskit.model.problem import Problem

Array = np.ndarray
_POLISH = 60  # steps at most, from a mode that is a few hundredths of its width off
_EDGE = 40.0  # on the unconstrained scale: exp(-40) is zero for every purpose
_DONE = 1e-12  # gain in log density that is as good as none


def joint_mode(problem: Problem, names: Sequence[str], *, natural: bool) -> dict[str, Array]:
    """Return the values of connected latents at the mode of their joint density with the data.

    Parameters
    ----------
    problem : Problem
        The bound model, without what is drawn forward.
    names : sequence of str
        The latents.
    natural : bool
        Whether the density is that of the latents as they are declared, or on the unconstrained scale.

    Raises
    ------
    RefusedError
        Where a latent is discrete, too many are not in a Gaussian block, or the density has no highest point.
    """
    for name in names:
        if problem.latents[name].prior.distribution.discrete:
            raise RefusedError(f"The mode cannot be had: '{name}' is discrete. Use sample().")
    gaussian, _ = gaussian_latents(problem, names)
    pieces = [GaussianPiece(GaussianBlock(problem, group)) for group in connected(problem, gaussian)]
    core = [n for n in names if n not in gaussian]
    if not core:
        return _peaks(pieces, dict(problem.env))
    profile = _Profile(CollapsedDensity(problem, core, pieces), natural)
    size = sum(problem.latents[n].size for n in core)
    if size > MOST_NUMBERS:
        raise RefusedError(
            f"The mode cannot be had: {size} numbers are not in a Gaussian block, more than {MOST_NUMBERS} are not "
            "climbed. Use sample()."
        )
    u = _climb(profile, problem, core)
    values, _ = profile.density.scale.unpack(u[None], problem.env)
    return {n: v[0] for n, v in values.items()} | _peaks(pieces, {**problem.env, **values})


def _peaks(pieces: Sequence[GaussianPiece], env: Mapping[str, Array]) -> dict[str, Array]:
    return {n: v[0] for piece in pieces for n, v in piece.peak(env)[0].items()}


class _Profile:
    """The joint log density with Gaussian blocks at their highest point, for many points ``(n, d)`` of the rest."""

    def __init__(self, density: CollapsedDensity, natural: bool) -> None:
        self.density, self.natural = density, natural

    def __call__(self, u: Array) -> Array:
        value, jacobian = self.density.with_jacobian(u)
        if self.natural:
            value = value - np.where(np.isfinite(value), jacobian, 0.0)
        inside = np.isfinite(value)
        if inside.any():
            values, _ = self.density.scale.unpack(u[inside], self.density.problem.env)
            env = {**self.density.problem.env, **values}
            for piece in self.density.pieces:
                assert isinstance(piece, GaussianPiece)
                with np.errstate(all="ignore"):
                    value[inside] += piece.peak(env)[1]
        return np.where(np.isnan(value), -np.inf, value)


def _climb(profile: _Profile, problem: Problem, core: Sequence[str]) -> Array:
    starts, _ = dispersed_points(problem, profile.density)
    if not len(starts):
        raise RefusedError("The mode cannot be had: no point of positive density was found. Use sample().")
    with np.errstate(all="ignore"):
        modes = find_modes(profile, starts, np.random.default_rng(0))
    best = max(modes, key=lambda m: m.log_density, default=None)
    if best is None or best.kind == "endless" or _is_at_the_edge(profile, best.at):
        names = ", ".join(f"'{n}'" for n in core)
        raise RefusedError(
            f"The mode cannot be had: the joint density rises towards the edge of the support of {names}, as it does "
            "where a scale above latents goes to zero. Use laplace() or sample()."
        )
    return _polished(profile, best)


def _is_at_the_edge(profile: _Profile, u: Array) -> bool:
    """Whether a climb went to where a scale is zero or infinite, or a share zero or one, but for rounding."""
    scale, start = profile.density.scale, 0
    env = {**profile.density.problem.env, **scale.unpack(u[None], profile.density.problem.env)[0]}
    for name, size in scale.sizes(env).items():
        transform = scale.transform(name, env)
        if not isinstance(transform, Identity) and np.abs(u[start : start + size]).max(initial=0) > _EDGE:
            return True
        start += size
    return False


def _polished(profile: _Profile, mode: Mode) -> Array:
    """Return the mode to the last digits: steps by differences in units of its widths, its Hessian kept."""
    at, value = mode.at, mode.log_density
    root = np.linalg.cholesky(mode.covariance)
    d = len(at)
    arms = 1e-4 * root.T
    for _ in range(_POLISH):
        sides = profile(np.concatenate([at + arms, at - arms]))
        slope = (sides[:d] - sides[d:]) / 2e-4
        steps = at + np.array([[1.0], [0.5], [0.25], [2.0]]) * (root @ slope)
        values = profile(steps)
        best = int(np.argmax(values))
        if not values[best] > value + _DONE * max(1.0, abs(value)) * 1e-3:
            break
        at, value = steps[best], float(values[best])
    return at
