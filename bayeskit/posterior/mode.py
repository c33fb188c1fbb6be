"""The mode of a posterior, with its curvature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.collapsed.peak import joint_mode
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.matrix_rows import by_rows
from bayeskit.inference.networks.component import finite_network
from bayeskit.inference.structure import components, forward_latents, without
from bayeskit.inference.unconstrained import Unconstrained
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
SCALES = ("natural", "unconstrained")
_MOST_CURVED = 200  # numbers of a Hessian by differences
_TIED = ("simplex", "simplex_table", "positive_definite")  # entries that cannot move one by one
_NO_TOP = (
    "The mode cannot be had: no highest point of the joint density was found inside its support. In hierarchies it "
    "often rises without end as a scale and what it scales shrink together. Use laplace() or sample()."
)
_DROP = 1e-3  # by how much the log density falls over the steps of the differences, about


@dataclass(frozen=True, eq=False)
class Mode:
    """The highest point of the joint posterior density.

    Attributes
    ----------
    values : Dataset
        Every latent at the mode, on its own scale whatever the scale of the density. Finite ones are at their most
        probable joint state. Latents that nothing observed depends on are left out.
    log_density : float
        The log of the joint density of latents and data there, on the scale stated.
    scale : str
        ``natural``: the density is that of the latents as they were declared. ``unconstrained``: it is that of logs of
        positive numbers, log odds of shares, and so on; its mode is elsewhere.
    covariance : DataArray or None
        The inverse of the negative Hessian on the scale stated, over ``unknown`` and ``unknown_``: the curvature of
        the continuous latents. None where there are none or more than 200 numbers, and on the natural scale of shares
        and matrices, whose entries are tied.
    """

    values: xr.Dataset
    log_density: float
    scale: str
    covariance: xr.DataArray | None

    def __repr__(self) -> str:
        numbers = ", ".join(f"{n}={np.array2string(v.values, precision=4)}" for n, v in self.values.items())
        return f"Mode({numbers}; {self.scale} scale)"


def find_mode(problem: Problem, scale: str = "natural") -> Mode:
    """Return the mode of the joint density of all latents that the data inform."""
    import xarray as xr

    if scale not in SCALES:
        raise RefusedError(f"The scale of a mode must be one of {', '.join(SCALES)}. Got {scale!r}.")
    everything = without(problem, forward_latents(problem))
    finite = _most_probable(everything)
    informed = by_rows(_given(everything, finite))
    values: dict[str, Array] = {}
    for names in components(informed, list(informed.latents)):
        values |= joint_mode(informed, names, natural=scale == "natural")
    ordered = {n: values[n] for n in informed.latents}
    target = _Target(informed, natural=scale == "natural")
    try:
        u = target.pack(ordered)
    except np.linalg.LinAlgError as error:  # a matrix went to where it is singular
        raise RefusedError(_NO_TOP) from error
    height = float(target(u[None])[0])
    covariance = _covariance(target, u, height)
    if covariance is None and 0 < len(u) <= _MOST_CURVED:
        raise RefusedError(_NO_TOP)
    if target.natural and target.tied:
        covariance = None
    labelled = {n: (e.variable.dims, (ordered | finite)[n]) for n, e in everything.latents.items()}
    borne = {d for e in everything.latents.values() for d in e.variable.dims}
    coords = {d: c for d, c in problem.coords.items() if d in borne}
    matrix = None
    if covariance is not None:
        names = target.labels(ordered)
        matrix = xr.DataArray(covariance, dims=("unknown", "unknown_"), coords={"unknown": names, "unknown_": names})
    return Mode(xr.Dataset(labelled, coords), _density_at(target, ordered, u), scale, matrix)


def _density_at(target: _Target, values: Mapping[str, Array], u: Array) -> float:
    """Return the log joint density at values, all factors included, on the scale stated."""
    with np.errstate(all="ignore"):
        value = float(target.problem.log_joint({n: v[None] for n, v in values.items()})[0])
    return (
        value if target.natural or not values else value + float(target.scale.unpack(u[None], target.problem.env)[1][0])
    )


def _most_probable(problem: Problem) -> dict[str, Array]:
    """Return the most probable joint state of the latents that are finite together, and meet no others."""
    values: dict[str, Array] = {}
    for names in components(problem, list(problem.latents)):
        network = finite_network(problem, names)
        if isinstance(network, Refusal):
            raise RefusedError(f"The mode cannot be had: {network}. Use sample().")
        if network is not None:
            values |= network.mode()
    return values


def _given(problem: Problem, values: Mapping[str, Array]) -> Problem:
    """Return the problem with some latents known."""
    if not values:
        return problem
    env = {**problem.env, **{n: v[None] for n, v in values.items()}}
    return replace(problem, env=env, latents={n: e for n, e in problem.latents.items() if n not in values})


class _Target:
    """The joint log density as a function of one vector: of the latents themselves, or on the unconstrained scale.

    Where entries are tied, as shares are by their sum, the natural density too is a function of the unconstrained
    vector: it has the same top there, and falls from it just as well.
    """

    def __init__(self, problem: Problem, *, natural: bool) -> None:
        self.problem, self.natural = problem, natural
        kinds = [getattr(e.prior.distribution, "support_kind", None) for e in problem.latents.values()]
        self.tied = any(kind in _TIED for kind in kinds)
        self.scale = Unconstrained(problem, list(problem.latents))

    def pack(self, values: Mapping[str, Array]) -> Array:
        if not values:
            return np.zeros(0)
        if self.natural and not self.tied:
            return np.concatenate([v.ravel() for v in values.values()])
        return self.scale.pack({**self.problem.env, **{n: v[None] for n, v in values.items()}})[0]

    def __call__(self, u: Array) -> Array:
        with np.errstate(all="ignore"):
            if self.tied or not self.natural:
                value = self.scale.log_density(u, self.problem.env)
                return self._without_jacobian(value, u) if self.natural else value
            state, start = {}, 0
            for name, latent in self.problem.latents.items():
                state[name] = u[:, start : start + latent.size].reshape(len(u), *latent.shape)
                start += latent.size
            value = np.broadcast_to(self.problem.log_joint(state), (len(u),))
            return np.where(np.isnan(value), -np.inf, value)

    def _without_jacobian(self, value: Array, u: Array) -> Array:
        return np.where(np.isfinite(value), value - self.scale.unpack(u, self.problem.env)[1], -np.inf)

    def labels(self, values: Mapping[str, Array]) -> list[str]:
        """Return a name for every number of the vector."""
        sizes = {n: e.size for n, e in self.problem.latents.items()}
        if not self.natural:
            sizes = self.scale.sizes({**self.problem.env, **{n: v[None] for n, v in values.items()}})
        return [n if size == 1 else f"{n}[{i}]" for n, size in sizes.items() for i in range(size)]


def _covariance(target: _Target, u: Array, height: float) -> Array | None:
    """Return the inverse of the negative Hessian, by central differences; None where it is not positive definite."""
    d = len(u)
    if not 0 < d <= _MOST_CURVED or not np.isfinite(u).all():
        return None
    steps = _steps(target, u, height)
    if steps is None:
        return None
    arms = np.diag(steps)
    first, second = np.triu_indices(d, 1)
    ones = target(np.concatenate([u + arms, u - arms])) - height
    hessian = np.zeros((d, d))
    hessian[np.arange(d), np.arange(d)] = ones[:d] + ones[d:]
    if len(first):
        plus, minus = arms[first] + arms[second], arms[first] - arms[second]
        four = target(np.concatenate([u + plus, u - plus, u + minus, u - minus])).reshape(4, -1)
        hessian[first, second] = hessian[second, first] = 0.25 * (four[0] + four[1] - four[2] - four[3])
    if not np.isfinite(hessian).all():
        return None
    hessian /= np.outer(steps, steps)
    scale = np.sqrt(np.maximum(-np.diagonal(hessian), 1e-300))
    try:
        root = np.linalg.cholesky(-hessian / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return None
    half = np.linalg.solve(root, np.eye(d)) / scale
    return np.asarray(half.T @ half)


def _steps(target: _Target, u: Array, height: float) -> Array | None:
    """Return steps along every axis over which the density falls by about ``_DROP``; None where it does not fall."""
    d = len(u)
    steps = 1e-3 * np.maximum(np.abs(u), 1e-2)
    for _ in range(25):
        arms = np.diag(steps)
        drop = height - 0.5 * target(np.concatenate([u + arms, u - arms])).reshape(2, d).sum(axis=0)
        with np.errstate(all="ignore"):
            factor = np.where(np.isfinite(drop) & (drop > 1e-13), np.sqrt(_DROP / drop), np.where(drop > 0, 0.25, 8.0))
        if np.all((factor > 0.5) & (factor < 2.0)):
            return steps
        steps = steps * np.clip(factor, 0.05, 20.0)
    return None
