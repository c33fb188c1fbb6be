"""Scalar latents that are not conjugate but independent given the core: each integrated by quadrature, and drawn back.

Random intercepts of logistic, binomial and Poisson regressions, overdispersion terms, and any continuous latent of
which every cell of every child touches one element. All elements at all core points are integrated at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from bayeskit.errors import ImproperError
from bayeskit.inference.conjugacy import Refusal, term
from bayeskit.inference.elementwise import elementwise
from bayeskit.inference.elimination import cell_proposals
from bayeskit.inference.elimination.cell_modes import Cells
from bayeskit.inference.elimination.cell_quadrature import Integrals, integrate
from bayeskit.inference.elimination.general_cells import GeneralPlate, Starter, rows_of
from bayeskit.inference.elimination.linear_cells import LinearCells
from bayeskit.inference.elimination.linear_plates import LinearPlate, linear_plate
from bayeskit.inference.elimination.one_peak import more_peaks
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]

_AT_ONCE = 60_000  # numbers of rows or elements worked on at once: they stay in cache
_MOST = 500_000  # of those of one core point
_NEGLIGIBLE = 50.0  # nats
_ROUGHLY = 1e-2  # that to reach where modes are looked for
_TOLERANCE = 1e-6  # error of the log marginal of a plate


class PlateIntegral:
    """Independent scalar latents, integrated one by one given the core.

    Parameters
    ----------
    problem : Problem
        The bound model.
    plate : GeneralPlate or LinearPlate
        The densities of the elements.
    tolerance : float
        Estimated error of a log marginal, summed over the elements, to reach.

    Attributes
    ----------
    error : float
        The largest estimated error of a log marginal, of core points that have any weight: whose log marginal came
        within 50 nats of the highest met so far.
    estimates : bool
        Whether ``propose`` may give unbiased estimates of the integral, with draws of the density that makes them so.
    """

    def __init__(self, problem: Problem, plate: GeneralPlate | LinearPlate, tolerance: float = _TOLERANCE) -> None:
        self.problem, self.plate, self.tolerance = problem, plate, tolerance
        self.latent = plate.latent
        self.names: tuple[str, ...] = (self.latent.name,)
        children = tuple(f for f, _ in general(plate).conditional.children)
        self.factors: tuple[Factor, ...] = (self.latent.prior, *children)
        self.given = frozenset().union(*(f.variables for f in self.factors)) - {self.latent.name}
        integrals = "one number" if plate.width == 1 else f"{plate.width} numbers, independent given the rest"
        self.reason = f"{integrals}: {plate.description}"
        self.cost = plate.width  # rows are worked on in chunks of its own
        self.error, self._highest = 0.0, -np.inf
        self.estimates = False

    def log_marginal(self, env: Environment) -> Array:
        """Return the log of the integral of its factors over its latents: ``(batch,)``."""
        return self._summed(env, self._exact_masses)

    def roughly(self, env: Environment) -> Array:
        """Return the log marginal to about a hundredth of the noise of a chain: good for looking for modes."""
        return self._summed(env, self._rough_masses)

    @np.errstate(all="ignore")
    def _summed(self, env: Environment, masses: Callable[..., tuple[Array, Array | None]]) -> Array:
        """Return the sum of log integrals, and take note of their errors."""
        env, batch, shown = self._given(env)
        out, errors = np.empty(batch), np.zeros(batch)
        start = self.plate.starter(env, batch)
        for chunk in self._chunks(batch):
            cells, rest = self.plate.cells(rows_of(env, chunk), chunk.stop - chunk.start)
            found = [masses(*part) for part in self._parts(cells, start)]
            out[chunk] = rest + np.concatenate([mass for mass, _ in found]).reshape(rest.size, -1).sum(axis=1)
            known = [error for _, error in found if error is not None]
            if known:
                errors[chunk] = np.concatenate(known).reshape(rest.size, -1).sum(axis=1)
        if known:
            self._note(out, errors)
        return np.broadcast_to(out, (shown,)).copy() if shown != batch else out

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Return a joint draw given the rest, by name ``(batch, *dims)``, and its log density ``(batch,)``."""
        values, log_density, _ = self._drawn(env, rng, batch, self._exact)
        return values, log_density

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Return a joint draw, its log density, and the log of the integral of its factors (or of an estimate)."""
        return self._drawn(env, rng, batch, self._estimate if self.estimates else self._exact)

    @np.errstate(all="ignore")
    def _drawn(
        self, env: Environment, rng: np.random.Generator, batch: int, drawn: Callable[..., tuple[Array, Array, Array]]
    ) -> tuple[dict[str, Array], Array, Array]:
        env, entries, _ = self._given(env)
        copies = batch if entries == 1 else 1
        values = np.empty((batch, *self.latent.shape))
        log_density, log_marginal = np.empty(batch), np.empty((batch if copies > 1 else entries,))
        start = self.plate.starter(env, entries)
        for chunk in self._chunks(entries):
            here = rows_of(env, chunk)
            cells, rest = self.plate.cells(here, chunk.stop - chunk.start)
            found = [drawn(*part, rng, copies) for part in self._parts(cells, start)]
            z, density, masses = (
                np.concatenate(a, axis=1) if len(found) > 1 else a[0] for a in zip(*found, strict=True)
            )
            z = z.reshape(copies * rest.size, *self.latent.shape)
            where = slice(None) if copies > 1 else chunk
            values[where], jacobian = self.plate.values(here, z)
            density = density.reshape(z.shape) - jacobian
            log_density[where] = density.reshape(z.shape[0], -1).sum(axis=1)
            log_marginal[where] = rest + masses.reshape(z.shape[0], -1).sum(axis=1)
        return {self.latent.name: values}, log_density, np.broadcast_to(log_marginal, (batch,))

    def _exact_masses(self, cells: Cells, at: Array, scale: Array) -> tuple[Array, Array]:
        """Return log integrals and their errors."""
        found = self._integrated(cells, at, scale)
        return found.log_mass, found.error

    def _rough_masses(self, cells: Cells, at: Array, scale: Array) -> tuple[Array, None]:
        """Return log integrals, those of cells that are near normal by the density at one point."""
        if not isinstance(cells, LinearCells):
            return self._integrated(cells, at, scale).log_mass, None
        mass, far = cell_proposals.log_masses(cells, at, scale)
        if far.size:
            mass[far] = integrate(cells.take(far), at[far], scale[far], _ROUGHLY / self.plate.width).log_mass
        return mass, None

    def _exact(
        self, cells: Cells, at: Array, scale: Array, rng: np.random.Generator, copies: int
    ) -> tuple[Array, Array, Array]:
        """Return draws of cells, their log densities and log integrals: ``(copies, cells)`` each."""
        found = self._integrated(cells, at, scale, to_draw=True)
        z = found.sample(rng, copies)
        return z, cells.log_density(z) - found.log_mass, np.broadcast_to(found.log_mass, z.shape)

    def _estimate(
        self, cells: Cells, at: Array, scale: Array, rng: np.random.Generator, copies: int
    ) -> tuple[Array, Array, Array]:
        """Return draws of cells near their densities, and log estimates; of those that are too far, exact ones."""
        if copies > 1 or not isinstance(cells, LinearCells):
            return self._exact(cells, at, scale, rng, copies)
        found = cell_proposals.propose(cells, at, scale, rng)
        z, density, mass = (a[None] for a in (found.z, found.log_density, found.log_mass))
        if found.far.size:
            far = found.far
            z[:, far], density[:, far], mass[:, far] = self._exact(cells.take(far), at[far], scale[far], rng, 1)
        return z, density, mass

    def _note(self, log_marginals: Array, errors: Array) -> None:
        """Remember the largest error of the core points that matter."""
        highest = float(log_marginals.max(initial=-np.inf))
        if highest > self._highest + _NEGLIGIBLE:
            self.error = 0.0
        self._highest = max(self._highest, highest)
        matter = errors[log_marginals > self._highest - _NEGLIGIBLE]
        self.error = max(self.error, float(matter.max(initial=0.0)))

    def conditional(self, name: str, env: Environment, wrap: Callable[..., Any]) -> Refusal:
        """Refuse: it has no closed form."""
        return Refusal("it is integrated by quadrature given the core")

    def _given(self, env: Environment) -> tuple[dict[str, Array], int, int]:
        """Return what its factors depend on, the size of its batch, and that of the whole batch."""
        known = self.problem.env
        here = {name: env[name] if name in env else known[name] for name in self.given}
        batch = max((v.shape[0] for v in here.values()), default=1)
        return here, batch, max(batch, *(v.shape[0] for v in env.values())) if env else batch

    def _chunks(self, batch: int) -> list[slice]:
        size = max(1, _AT_ONCE // self.plate.numbers)
        return [slice(i, min(i + size, batch)) for i in range(0, batch, size)]

    def _parts(self, cells: Cells, start: Starter) -> Iterator[tuple[Cells, Array, Array]]:
        """Return all cells, those of a large plate in parts, with where their modes are looked for."""
        at, scale = start(cells)
        size = max(1, _MOST * self.plate.width // self.plate.numbers)
        if cells.size <= size:
            yield cells, at, scale
            return
        for i in range(0, cells.size, size):
            some = np.arange(i, min(i + size, cells.size))
            yield cells.take(some), at[some], scale[some]

    def _integrated(self, cells: Cells, at: Array, scale: Array, *, to_draw: bool = False) -> Integrals:
        """Integrate cells."""
        found = integrate(cells, at, scale, self.tolerance / self.plate.width, to_draw=to_draw)
        if found.decays.all():
            return found
        if not self.latent.prior.distribution.is_proper:
            raise ImproperError(
                f"The latent '{self.latent.name}' must have a proper posterior given the rest. Got a density "
                f"whose tails do not decay. Give it a proper prior, or more data."
            )
        # A proper prior loses its tails in rounding only, at points of the core that are beyond all sense.
        return replace(found, log_mass=np.where(found.decays, found.log_mass, np.nan))


def general(plate: GeneralPlate | LinearPlate) -> GeneralPlate:
    """Return the plate under any densities."""
    return plate.general if isinstance(plate, LinearPlate) else plate


def plate_integral(problem: Problem, name: str, others: Collection[str]) -> PlateIntegral | Refusal:
    """Return the piece that integrates a latent element by element, or why there is none.

    Parameters
    ----------
    problem : Problem
        The bound model.
    name : str
        The latent.
    others : collection of str
        The latents that are given when it is integrated.
    """
    latent = problem.latents[name]
    distribution = latent.prior.distribution
    if distribution.discrete:
        return Refusal("it is discrete")
    if latent.prior.event:
        return Refusal(f"its {distribution.family} prior couples its entries")
    terms = problem.terms_of(name)
    if terms:
        return Refusal(f"{term(problem, terms[0])} depends on it")
    found = elementwise(problem, name)
    if isinstance(found, Refusal):
        return found
    given = {*problem.env, *others, name}
    for factor in (latent.prior, *(f for f, _ in found.children)):
        missing = sorted(factor.variables - given)
        if missing:
            return Refusal(f"'{factor.name}' depends on '{missing[0]}' too, which is not given when it is integrated")
    if latent.prior.plates != latent.variable.dims or prod(latent.shape) == 0:
        return Refusal("its prior is not laid along its dims")
    peaks = more_peaks(found)
    if peaks is not None:
        return peaks
    plate = GeneralPlate(found)
    return PlateIntegral(problem, linear_plate(plate) or plate)
