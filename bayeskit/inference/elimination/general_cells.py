"""A plate of scalar latents under any densities, on a scale on which each is a number from the whole line.

Latents of a location and a scale are standardised by their prior, so that a scale near zero and one near infinity are
no different; others are carried to the line by the transform of their support.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bayeskit.conjugate.pull_back import pull_back
from bayeskit.distributions.transforms import transform_of
from bayeskit.expressions.linear import Position
from bayeskit.inference.elementwise import Elementwise
from bayeskit.inference.elimination.cell_modes import Cells, find_modes
from bayeskit.inference.elimination.one_peak import PEAKED
from bayeskit.inference.unconstrained import log_jacobian
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]
Starter = Callable[[Cells], tuple[Array, Array]]

_LOG_ROOT_2PI = 0.9189385332046727
_STEP = 0.4  # of a width, between the points that derivatives are read from
_POINTS = _STEP * np.arange(-2.0, 3.0)
_DIFFERENCES = np.array(
    [
        [0.0, 0.0, 1.0, 0.0, 0.0],
        np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12.0 * _STEP),
        np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / (12.0 * _STEP**2),
        np.array([-1.0, 2.0, 0.0, -2.0, 1.0]) / (2.0 * _STEP**3),
        np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / _STEP**4,
    ]
)
_LOCATION_AND_SCALE = {"StudentT": ("mu", "sigma"), "Laplace": ("mu", "b"), "Cauchy": ("alpha", "beta")}
_SHORTEST = 1e-9  # relative width below which differences are rounding errors
_AT_ONCE = 400_000  # numbers made by one evaluation
REFERENCES = 9  # entries of a batch by which the others are started


def rows_of(env: Environment, rows: Array | slice) -> dict[str, Array]:
    """Return some entries of the batch of an environment; what has one entry serves all."""
    return {k: v if v.shape[0] == 1 else v[rows] for k, v in env.items()}


class GeneralPlate:
    """A latent whose elements are independent given the rest, whatever its densities are.

    Parameters
    ----------
    conditional : Elementwise
        Its prior and its children, and which element a cell of each touches.
    """

    def __init__(self, conditional: Elementwise) -> None:
        self.conditional, self.latent = conditional, conditional.latent
        self.prior = conditional.latent.prior
        self.width = self.latent.size
        self.numbers = self.width + sum(int(np.prod(f.shape)) for f, _ in conditional.children)
        self.sizes = dict(zip(self.latent.variable.dims, self.latent.shape, strict=True))
        self.family = self.prior.distribution.family
        names = [p.name for p in self.prior.distribution.parameters]
        self.place = [names.index(n) for n in _LOCATION_AND_SCALE.get(self.family, ())]
        self.description = "each by adaptive quadrature"

    def cells(self, env: Environment, batch: int) -> tuple[Cells, Array]:
        """Return the cells of all entries of a batch, one entry after another, and what does not depend on them."""
        return GeneralCells(self, env, batch), np.zeros(batch)

    def starter(self, env: Environment, batch: int) -> Starter:
        """Return where modes are looked for: about those of a few entries of the batch."""
        few = min(batch, REFERENCES) if batch >= 2 * REFERENCES else 0
        if not few:
            return lambda cells: (np.zeros(cells.size), np.ones(cells.size))
        cells = GeneralCells(self, rows_of(env, slice(few)), few)
        modes = find_modes(cells, np.zeros(cells.size), np.ones(cells.size))
        at, scale = (np.median(a.reshape(few, -1), axis=0) for a in (modes.at, modes.scale))
        return lambda cells: (np.resize(at, cells.size), np.resize(scale, cells.size))

    def values(self, env: Environment, z: Array) -> tuple[Array, Array]:
        """Return the latent where the standardised numbers are z ``(batch, *dims)``, and the logs of dx/dz."""
        x, jacobian, _ = self._carried(env, z)
        return x, np.broadcast_to(jacobian, x.shape)

    def _carried(self, env: Environment, z: Array) -> tuple[Array, Array, Array]:
        """Return the latent, the log Jacobian, and the log density of z under the prior."""
        parameters = self.prior.parameter_arrays(env)
        distribution = self.prior.distribution
        if self.family in ("Normal", "LogNormal"):
            mu, sigma = parameters
            x, jacobian = mu + sigma * z, np.log(sigma)
            if self.family == "LogNormal":
                jacobian = jacobian + x
                x = np.exp(x)
            return x, jacobian, -0.5 * z * z - _LOG_ROOT_2PI
        if self.place:
            mu, sigma = (parameters[i] for i in self.place)
            x, jacobian = mu + sigma * z, np.log(sigma)
        else:
            transform = transform_of(distribution, *parameters)
            x = transform.inverse(z)
            jacobian = log_jacobian(transform, z, x)
        return x, jacobian, distribution._log_prob(x, *parameters) + jacobian

    def log_density(self, env: Environment, z: Array) -> Array:
        """Return the log density of z in all elements: ``(batch, *dims)``."""
        x, _, total = self._carried(env, z)
        here = {**env, self.latent.name: x}
        for factor, places in self.conditional.children:
            total = total + self._by_element(factor, places, here)
        return np.asarray(total)

    def _by_element(self, factor: Factor, places: Mapping[str, Position], env: Environment) -> Array:
        cells = factor.log_prob(env)
        if not places:
            return cells.reshape(cells.shape[0], -1).sum(axis=1)
        # a cell that touches no element is one past the end; it is a constant, and counted with the last element
        positions = {
            d: p if isinstance(p, str) else (np.minimum(p.evaluate(env).astype(np.int64), self.sizes[d] - 1), p.dims)
            for d, p in places.items()
        }
        return pull_back(cells, factor.plates, positions, self.sizes)


@dataclass(frozen=True, eq=False)
class GeneralCells:
    """Elements of a plate in entries of a batch.

    Attributes
    ----------
    env, batch : mapping, int
        The entries, and how many they are.
    place : tuple of array or None
        The entry and the element of every cell, no two alike; None where they are all elements of all entries.
    """

    plate: GeneralPlate
    env: Environment
    batch: int
    place: tuple[Array, Array] | None = None
    concave: bool = False
    analytic: bool = False
    size: int = field(init=False)
    anchored: bool = field(init=False)

    def __post_init__(self) -> None:
        size = self.batch * self.plate.width if self.place is None else self.place[0].size
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "anchored", self.plate.family in PEAKED)

    def log_density(self, z: Array) -> Array:
        """Return the log densities of z: ``(n, size)``."""
        out = np.empty(z.shape)
        step = max(1, _AT_ONCE // (self.batch * self.plate.numbers))
        for start in range(0, z.shape[0], step):
            out[start : start + step] = self._evaluate(z[start : start + step])
        return out

    def _evaluate(self, z: Array) -> Array:
        n, width = z.shape[0], self.plate.width
        if self.place is None:
            grid = z.reshape(n, self.batch, width)
        else:
            grid = np.zeros((n, self.batch, width))
            grid[:, self.place[0], self.place[1]] = z
        env = rows_of(self.env, np.tile(np.arange(self.batch), n)) if n > 1 else self.env
        values = self.plate.log_density(env, grid.reshape(n * self.batch, *self.plate.latent.shape))
        values = np.broadcast_to(values, (n * self.batch, *values.shape[1:])).reshape(n, self.batch, width)
        return values.reshape(n, -1) if self.place is None else values[:, self.place[0], self.place[1]]

    def derivatives(self, z: Array, scale: Array) -> Array:
        """Return the log densities and their derivatives, from five points a fraction of the width apart."""
        scale = np.maximum(scale, _SHORTEST * (1.0 + np.abs(z)))
        values = self.log_density(z + _POINTS[:, None] * scale)
        found = _DIFFERENCES @ (values - values[2])
        found[0] = values[2]
        factor = scale
        for k in range(1, 5):
            found[k] /= factor
            factor = factor * scale
        return found

    def take(self, index: Array) -> GeneralCells:
        """Return some of the cells; entries are repeated where a cell is taken several times."""
        entry, element = divmod(index, self.plate.width) if self.place is None else (p[index] for p in self.place)
        # the k-th time that a cell is taken it stands in the k-th copy of its entry
        flat = entry * self.plate.width + element
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        begins = np.flatnonzero(first)
        copy = np.empty(index.size, dtype=np.int64)
        copy[order] = np.arange(index.size) - np.repeat(begins, np.diff(np.append(begins, index.size)))
        used, rows = np.unique(copy * self.batch + entry, return_inverse=True)
        return GeneralCells(self.plate, rows_of(self.env, used % self.batch), used.size, (rows, element))
