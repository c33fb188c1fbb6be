"""Scalar latents that are not conjugate but independent given the core: each integrated by quadrature, and drawn back.

Random intercepts of logistic, binomial and Poisson regressions, overdispersion terms, and any continuous latent of
which every cell of every child touches one element. All elements at all core points are integrated at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from bayeskit.errors import ImproperError
from bayeskit.inference.conjugacy import Refusal, term
from bayeskit.inference.elementwise import elementwise
from bayeskit.inference.elimination.cell_modes import Cells
from bayeskit.inference.elimination.cell_proposals import Estimates, estimate, nearly
from bayeskit.inference.elimination.cell_quadrature import Integrals, integrate
from bayeskit.inference.elimination.general_cells import GeneralPlate, Starter, rows_of
from bayeskit.inference.elimination.linear_plates import LinearPlate, linear_plate
from bayeskit.inference.elimination.near_plate import NearPlate, near_plate
from bayeskit.inference.elimination.one_peak import more_peaks
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
Way = Callable[[Cells, Array, Array, float], Integrals | Estimates]

_AT_ONCE = 60_000  # numbers of rows or elements worked on at once: they stay in cache
_MOST = 500_000  # of those of one core point
_NEGLIGIBLE = 50.0  # nats
_MOST_NOISE = 0.005  # relative variance of estimates up to which a chain hardly notices
_SEED = 20261207
_TOLERANCE = 1e-6  # error of the log marginal of a plate


@dataclass(eq=False)
class _Found:
    """What is found of a plate in some entries of a batch: all ``(entries,)``, and draws of each entry or many of one.

    Attributes
    ----------
    log_marginal, error : array
        Of the plate.
    strays : array of bool
        Whether an approximation was asked beyond where it holds.
    values, log_density : array or None
        Draws ``(draws, *dims)`` and their log density, where they are wanted.
    """

    log_marginal: Array
    error: Array
    strays: Array
    values: Array | None
    log_density: Array | None

    @classmethod
    def room(cls, entries: int, copies: int, shape: tuple[int, ...], *, drawn: bool) -> _Found:
        """Return room for it."""
        draws = entries * copies
        own = (np.empty((draws, *shape)), np.empty(draws)) if drawn else (None, None)
        return cls(np.empty(entries), np.empty(entries), np.zeros(entries, dtype=bool), *own)

    def put(self, which: Array, other: _Found) -> None:
        """Put what was found of some entries in their places; many draws are of one entry."""
        places = which if self.log_marginal.size > 1 else slice(None)
        for name, value in vars(self).items():
            if value is not None:
                value[places] = getattr(other, name)


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
        Whether `propose` may give unbiased estimates of the integral, with draws of the density that makes them so.
    """

    def __init__(self, problem: Problem, plate: GeneralPlate | LinearPlate, tolerance: float = _TOLERANCE) -> None:
        self.problem, self.plate, self.tolerance = problem, plate, tolerance
        self.latent = plate.latent
        self.names: tuple[str, ...] = (self.latent.name,)
        children = tuple(f for f, _ in general(plate).conditional.children)
        self.factors: tuple[Factor, ...] = (self.latent.prior, *children)
        self.given = frozenset().union(*(f.variables for f in self.factors)) - {self.latent.name}
        self._integrals = "one number" if plate.width == 1 else f"{plate.width} numbers, independent given the rest"
        self.reason = f"{self._integrals}: {plate.description}"
        self.cost = plate.width  # rows are worked on in chunks of its own
        self.error, self._highest = 0.0, -np.inf
        self.estimates = False
        self.near: NearPlate | None = None

    def settle(self, env: Environment) -> None:
        """Prepare for many points of the core near some, ``(batch, *dims)``, that are spread as its draws will be."""
        env, batch, _ = self._given(env)
        if isinstance(self.plate, LinearPlate) and batch > 1:
            with np.errstate(all="ignore"):
                self.near = near_plate(self.problem, self.plate, env, batch, self.tolerance)
            self.estimates = self._estimable(env, batch)
            proposed = "; when drawn, proposed with the core" if self.estimates else ""
            self.reason = f"{self._integrals}: {(self.near or self.plate).description}{proposed}"

    def _estimable(self, env: Environment, batch: int) -> bool:
        """Whether estimates are as good as integrals at some points of the core, and at most of them to be had."""
        rng = np.random.default_rng(_SEED)
        plate = self.near or self.plate
        found = self._by(plate, env, batch, functools.partial(estimate, rng=rng), rng, 1)
        held = np.flatnonzero(~found.strays)
        if 2 * held.size < batch:
            return False
        exact = self._by(plate, rows_of(env, held), held.size, integrate, None, 1)
        return bool(np.mean(np.expm1(found.log_marginal[held] - exact.log_marginal) ** 2) < _MOST_NOISE)

    def log_marginal(self, env: Environment) -> Array:
        """Return the log of the integral of its factors over its latents: ``(batch,)``."""
        env, batch, shown = self._given(env)
        found = self._found(env, batch, [integrate])
        self._note(found.log_marginal, found.error)
        return np.broadcast_to(found.log_marginal, (shown,)).copy() if shown != batch else found.log_marginal

    def roughly(self, env: Environment) -> Array:
        """Return what is near the log marginal, to about a hundredth, and faster: to look for modes by."""
        env, batch, shown = self._given(env)
        return np.broadcast_to(self._found(env, batch, [nearly]).log_marginal, (shown,)).copy()

    def estimate(self, env: Environment, rng: np.random.Generator) -> Array:
        """Return unbiased estimates of the integral, in logs; where they would be no good the log marginal."""
        here, batch, shown = self._given(env)
        if not self.estimates or batch == 1:
            return self.log_marginal(env)
        found = self._found(here, batch, [functools.partial(estimate, rng=rng), integrate])
        return np.broadcast_to(found.log_marginal, (shown,)).copy()

    def draw(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array]:
        """Return a joint draw given the rest, by name ``(batch, *dims)``, and its log density ``(batch,)``."""
        values, log_density, _ = self._drawn(env, rng, batch, exactly=True)
        return values, log_density

    def propose(self, env: Environment, rng: np.random.Generator, batch: int) -> tuple[dict[str, Array], Array, Array]:
        """Return a joint draw, its log density, and the log of the integral of its factors, or of an estimate of it."""
        return self._drawn(env, rng, batch, exactly=not self.estimates)

    def _drawn(
        self, env: Environment, rng: np.random.Generator, batch: int, *, exactly: bool
    ) -> tuple[dict[str, Array], Array, Array]:
        env, entries, _ = self._given(env)
        copies = batch if entries == 1 else 1
        ways: list[Way] = [functools.partial(integrate, to_draw=True)]
        if copies == 1 and not exactly:
            ways.insert(0, functools.partial(estimate, rng=rng))
        found = self._found(env, entries, ways, rng, copies)
        assert found.values is not None
        assert found.log_density is not None
        return {self.latent.name: found.values}, found.log_density, np.broadcast_to(found.log_marginal, (batch,))

    @np.errstate(all="ignore")
    def _found(
        self, env: Environment, entries: int, ways: list[Way], rng: np.random.Generator | None = None, copies: int = 1
    ) -> _Found:
        """Integrate, and draw where there is a source: by what was prepared where it holds, or one way or the next.

        Whether a way can do must not depend on what it draws, beyond the odd draw in 100,000.
        """
        out = _Found.room(entries, copies, self.latent.shape, drawn=rng is not None)
        left = np.arange(entries)
        if self.near is not None:
            bound = self.near.bound(env, entries)
            held = np.flatnonzero(np.isfinite(bound))
            if held.size:
                found = self._by(self.near, rows_of(env, held), held.size, ways[0], rng, copies)
                found.error += bound[held]
                out.put(held, found)
                left = np.flatnonzero(~np.isfinite(bound) | out.strays)
        for way in ways:
            if not left.size:
                break
            found = self._by(
                self.plate, rows_of(env, left) if left.size < entries else env, left.size, way, rng, copies
            )
            if left.size == entries and not found.strays.any():
                return found
            out.put(left, found)
            left = left[found.strays]
        return out

    def _by(
        self,
        plate: GeneralPlate | LinearPlate,
        env: Environment,
        entries: int,
        way: Way,
        rng: np.random.Generator | None,
        copies: int,
    ) -> _Found:
        """Integrate a plate in all entries, and draw where there is a source of randomness."""
        found = _Found.room(entries, copies, self.latent.shape, drawn=rng is not None)
        start = plate.starter(env, entries)
        for chunk in self._chunks(entries, plate):
            here = rows_of(env, chunk)
            cells, rest = plate.cells(here, chunk.stop - chunk.start)
            mass, error, strays = np.empty(cells.size), np.empty(cells.size), np.zeros(cells.size, dtype=bool)
            z, density = np.empty((2, copies, cells.size if rng is not None else 0))
            stop = 0
            for part, integrals in self._parts(cells, start, plate, way):
                some = slice(stop, stop := stop + part.size)
                mass[some], error[some] = integrals.log_mass, integrals.error
                if rng is not None:
                    z[:, some], density[:, some] = integrals.draw(part, rng, copies)
                if isinstance(plate, NearPlate):
                    strays[some] = plate.strays(part, integrals.modes, integrals.rough, z[:, some])
                if isinstance(integrals, Estimates):
                    strays[some] |= integrals.far
            found.log_marginal[chunk] = rest + mass.reshape(rest.size, -1).sum(axis=1)
            found.error[chunk] = error.reshape(rest.size, -1).sum(axis=1)
            found.strays[chunk] = strays.reshape(rest.size, -1).any(axis=1)
            if found.values is not None and found.log_density is not None:
                z = z.reshape(copies * rest.size, *self.latent.shape)
                where = slice(None) if copies > 1 else chunk
                found.values[where], jacobian = plate.values(here, z)
                density = density.reshape(z.shape) - jacobian
                found.log_density[where] = density.reshape(z.shape[0], -1).sum(axis=1)
        return found

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

    def _chunks(self, batch: int, plate: GeneralPlate | LinearPlate) -> list[slice]:
        size = max(1, _AT_ONCE // plate.numbers)
        return [slice(i, min(i + size, batch)) for i in range(0, batch, size)]

    def _parts(
        self, cells: Cells, start: Starter, plate: GeneralPlate | LinearPlate, way: Way
    ) -> Iterator[tuple[Cells, Integrals | Estimates]]:
        """Integrate all cells, a large plate in parts."""
        at, scale = start(cells)
        tolerance = self.tolerance / self.plate.width
        size = max(1, _MOST * plate.width // plate.numbers)
        for i in range(0, cells.size, size):
            some = slice(i, i + size)
            part = cells if cells.size <= size else cells.take(np.arange(cells.size)[some])
            found = way(part, at[some], scale[some], tolerance)
            if not found.decays.all():
                if not self.latent.prior.distribution.is_proper:
                    raise ImproperError(
                        f"The latent '{self.latent.name}' must have a proper posterior given the rest. Got a density "
                        f"whose tails do not decay. Give it a proper prior, or more data."
                    )
                # A proper prior loses its tails in rounding only, at points of the core that are beyond all sense.
                found = replace(found, log_mass=np.where(found.decays, found.log_mass, np.nan))
            yield part, found


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
