"""What elimination leaves: the log density of the core, on the unconstrained scale."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from bayeskit.inference.core.linear_rows import linear_rows
from bayeskit.inference.core.newton import Newton, newton_of
from bayeskit.inference.elimination.pieces import Piece, ProposingPiece
from bayeskit.inference.elimination.plates import PlateIntegral
from bayeskit.inference.parallel import each, streams
from bayeskit.inference.unconstrained import Unconstrained
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
Integrated = Callable[[Environment, Array], Array]
_CHUNK = 4_000_000  # numbers held at once: a few times the cache, for larger chunks are no faster


class CollapsedDensity:
    """The collapsed log density of the latents of a core, for many points at once.

    It is the sum of the core's own factors, the log marginals of the pieces, the terms of ``m.factor`` and
    ``m.require`` that meet the core, and the log Jacobian of the unconstrained scale.
    """

    def __init__(self, problem: Problem, names: Sequence[str], pieces: Sequence[Piece]) -> None:
        self.problem, self.pieces = problem, tuple(pieces)
        # Some pieces are drawn with their log marginals, others afterwards, where the core has come to be.
        self.proposing = tuple(p for p in self.pieces if isinstance(p, ProposingPiece))
        self.drawn_after = tuple(p for p in self.pieces if not isinstance(p, ProposingPiece))
        self.names = [n for n in problem.latents if n in set(names)]
        absorbed = {id(f) for p in pieces for f in p.factors}
        self.own = tuple(f for f in problem.factors_of(names) if id(f) not in absorbed)
        self.priors = tuple(f for f in self.own if any(problem.latents[n].prior is f for n in self.names))
        rest = [f for f in self.own if all(f is not p for p in self.priors)]
        read = [linear_rows(problem, f, self.names) for f in rest]
        self.regressions = tuple(r for r in read if r is not None)
        self.rows = tuple(f for f, r in zip(rest, read, strict=True) if r is None)
        self.terms = self._terms()
        sizes = [3 * int(np.prod(f.shape, dtype=int)) for f in (*self.priors, *self.rows)]
        sizes += [4 * r.size for r in self.regressions]  # which keep to blocks of their own
        self.cost = max(1, sum(sizes) + sum(p.cost for p in pieces))

    @cached_property
    def scale(self) -> Unconstrained:
        """The unconstrained scale of the core, where it is continuous."""
        return Unconstrained(self.problem, self.names, [n for p in self.pieces for n in p.names])

    @cached_property
    def newton(self) -> Newton | None:
        """Gradient and Hessian at a point, where the core is nothing but log-concave regressions and normal priors."""
        if self.pieces or not self.regressions:
            return None
        return newton_of(self.problem, self.names, self.regressions)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Every factor it holds, those of its pieces included."""
        return self.own + tuple(f for p in self.pieces for f in p.factors)

    def settle(self, u: Array) -> None:
        """Let pieces prepare for many points near some, ``(n, d)``, that are spread as draws will be."""
        values, _ = self.scale.unpack(u, self.problem.env)
        env = {**self.problem.env, **values}
        for piece in self.pieces:
            if isinstance(piece, PlateIntegral):
                piece.settle(env)

    def __call__(self, u: Array) -> Array:
        """Return the log density at points ``(n, d)``: ``(n,)``."""
        return self.with_jacobian(u)[0]

    def with_jacobian(self, u: Array) -> tuple[Array, Array]:
        """Return the log density at points ``(n, d)``, and the log Jacobian that it contains."""
        return self._evaluated(u, self._integrated)

    def roughly(self, u: Array) -> Array:
        """Return the log density at points ``(n, d)`` to about a hundredth, where that is faster: ``(n,)``."""
        return self._with_plates(u, PlateIntegral.roughly)

    def estimated(self, u: Array, rng: np.random.Generator) -> Array:
        """Return the log density at points ``(n, d)``, or where pieces estimate it without bias that: ``(n,)``."""
        return self._with_plates(u, lambda plate, env: plate.estimate(env, rng))

    def _with_plates(self, u: Array, ask: Callable[[PlateIntegral, Environment], Array]) -> Array:
        """Return the log density with the log marginals of plates found in some way of their own."""

        def integrated(env: Environment, _: Array) -> Array:
            found = (ask(p, env) if isinstance(p, PlateIntegral) else p.log_marginal(env) for p in self.pieces)
            return sum(found, start=np.zeros(1))

        return self._evaluated(u, integrated)[0]

    def with_draws(self, u: Array, rng: np.random.Generator) -> tuple[Array, dict[str, Array], Array]:
        """Return the log density at points ``(n, d)``, draws of `proposing` given each, and their log density.

        Draws are by name ``(n, *dims)``; where the density is zero they are nothing.
        """
        drawn, log_density = self._room(self.proposing, len(u)), np.zeros(len(u))

        def integrated(env: Environment, at: Array) -> Array:
            total = sum((piece.log_marginal(env) for piece in self.drawn_after), start=np.zeros(1))
            for piece in self.proposing:
                values, own, marginal = piece.propose(env, rng, len(at))
                log_density[at] += own
                total = total + marginal
                for name, value in values.items():
                    drawn[name][at] = value
            return total

        return self._evaluated(u, integrated)[0], drawn, log_density

    def _evaluated(self, u: Array, integrated: Integrated) -> tuple[Array, Array]:
        """Return the log density and the log Jacobian, a part of the points at a time."""
        size = max(1, _CHUNK // self.cost)
        result, jacobian = np.empty(len(u)), np.empty(len(u))
        with np.errstate(all="ignore"):
            for start in range(0, len(u), size):
                part = slice(start, start + size)
                here = functools.partial(lambda start, env, inside: integrated(env, start + inside), start)
                result[part], jacobian[part] = self._chunk(u[part], here)
        return result, jacobian

    def at(self, values: Environment) -> Array:
        """Return the log density at values of the core on its own scale, ``(n, *dims)`` each: ``(n,)``."""
        count = len(values[self.names[0]])
        size = max(1, _CHUNK // self.cost)
        parts = [slice(i, i + size) for i in range(0, count, size)]
        with np.errstate(all="ignore"):
            here = [{n: v[p] for n, v in values.items()} for p in parts]
            return np.concatenate([self._added(v, 0.0, self._integrated) for v in here])

    def _integrated(self, env: Environment, _: Array) -> Array:
        """Return the log marginals of the pieces."""
        return sum((piece.log_marginal(env) for piece in self.pieces), start=np.zeros(1))

    def _chunk(self, u: Array, integrated: Integrated) -> tuple[Array, Array]:
        values, jacobian = self.scale.unpack(u, self.problem.env)
        return self._added(values, jacobian, integrated), jacobian

    def _added(self, values: Environment, jacobian: Array | float, integrated: Integrated) -> Array:
        """Return the log density at values of the core, with a log Jacobian."""
        total = jacobian + sum(f.total({**self.problem.env, **values}) for f in self.priors)
        inside = np.isfinite(total) & np.all([_finite(v) for v in values.values()], axis=0)
        total = np.where(inside, total, -np.inf)
        if not inside.any():
            return total
        # Beyond the support of the priors children must not be asked.
        whole = bool(inside.all())
        env = {**self.problem.env, **(values if whole else {n: v[inside] for n, v in values.items()})}
        more = self._rest(env) + integrated(env, np.flatnonzero(inside))
        total[inside] += np.where(np.isnan(more), -np.inf, more)
        return total

    def below(self, env: Environment) -> Array:
        """Return what rows, pieces and terms add at values of the core: ``(batch,)``."""
        return sum((piece.log_marginal(env) for piece in self.pieces), start=self._rest(env))

    def _rest(self, env: Environment) -> Array:
        """Return what rows and terms add."""
        total: Array = np.zeros(len(env[self.names[0]]))
        for factor in self.rows:
            total = total + factor.total(env)
        for regression in self.regressions:
            total = total + regression.total(env)
        if self.terms is not None:
            total = total + self.terms.extra_log_density(env)
        return total

    def _room(self, pieces: Sequence[Piece], count: int) -> dict[str, Array]:
        """Return room for draws of some pieces."""
        return {n: self.problem.latents[n].empty(count) for p in pieces for n in p.names}

    def _terms(self) -> Problem | None:
        """Return the problem with the terms that meet the core alone: others belong to other components."""
        met = {label for n in self.names for label in self.problem.terms_of(n)}
        if not met:
            return None
        potentials = {n: e for n, e in self.problem.potentials.items() if n in met}
        conditions = {n: e for n, e in self.problem.conditions.items() if n in met}
        return replace(self.problem, potentials=potentials, conditions=conditions)

    def draw_pieces(
        self, values: Environment, rng: np.random.Generator, pieces: Sequence[Piece] | None = None
    ) -> tuple[dict[str, Array], Array]:
        """Draw pieces, by default all, given values of the core: by name ``(n, *dims)``, and log densities ``(n,)``.

        Parts of the draws have a stream of random numbers each, and may be worked on beside each other.
        """
        pieces = self.pieces if pieces is None else pieces
        count = len(values[self.names[0]])
        held = 6 * sum(self.problem.latents[n].size for p in pieces for n in p.names)
        size = max(1, _CHUNK // max(1, held, sum(p.cost for p in pieces)))
        drawn = self._room(pieces, count)
        density = np.zeros(count)

        def draw(part_and_stream: tuple[slice, np.random.Generator]) -> None:
            part, stream = part_and_stream
            env = {**self.problem.env, **{n: v[part] for n, v in values.items()}}
            for piece in pieces:
                found, log_density = piece.draw(env, stream, part.stop - part.start)
                density[part] += log_density
                for name, value in found.items():
                    drawn[name][part] = value

        parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        with np.errstate(all="ignore"):
            each(draw, list(zip(parts, streams(rng, len(parts)), strict=True)))
        return drawn, density


def _finite(values: Array) -> Array:
    return np.isfinite(values).reshape(len(values), -1).all(axis=1)
