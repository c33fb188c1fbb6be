"""A core of finite latents above what is integrated out: all its joint states are summed, as one batch.

Switches above a Gaussian block, as in variable selection, or a change point above conjugate rates. One continuous
number may be left beside them: it is integrated by quadrature in every state, all states at once.

Source: George and McCulloch (1997), Approaches for Bayesian variable selection, Statistica Sinica 7, 339-373, for the
sum over 2**p models; Carlin, Gelfand and Smith (1992), Hierarchical Bayesian analysis of changepoint problems, Appl.
Statist. 41, 389-405.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from bayeskit.errors import ImproperError, RefusedError, SupportError
from bayeskit.inference.collapsed.component import CollapsedDraws, held_names, piece_notes
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.core.line import Line, integrate_line, limits_of
from bayeskit.inference.elimination.density import CollapsedDensity
from bayeskit.inference.elimination.eliminate import Elimination, eliminate_below
from bayeskit.inference.elimination.gaussian import GaussianPiece
from bayeskit.inference.enumeration import finite_values
from bayeskit.inference.initial import dispersed
from bayeskit.inference.networks.answers import finite_marginal, listed
from bayeskit.inference.unconstrained import Unconstrained, bounds_depend_on
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
MOST_STATES = 20_000
_WORK = 300_000_000  # numbers that planning may look at
_POINTS = 600  # of the quadrature in one state, about
_NODES = 4_000_000  # numbers of a marginal as a mixture
_NEGLIGIBLE = 1e-16  # share of the mixture that a state or node must have
_SEED, _EACH = 20261122, 4


@dataclass(frozen=True, eq=False)
class States:
    """All joint states of finite latents.

    Attributes
    ----------
    values : mapping
        Each latent in every state, ``(states, *dims)``.
    listed : mapping
        The values that an element of each latent may take.
    """

    values: dict[str, Array]
    listed: Mapping[str, Array]

    @property
    def count(self) -> int:
        """Count the states."""
        return len(next(iter(self.values.values())))


def states_core(problem: Problem, names: Sequence[str]) -> StatesCore | Refusal:
    """Return finite latents summed over, with all below them integrated out; or why that cannot be."""
    finite = [n for n in names if problem.latents[n].prior.distribution.discrete]
    rest = [n for n in names if n not in finite]
    states = _all_states(problem, finite)
    if isinstance(states, Refusal):
        return states
    if not rest:
        return _not_integrated(finite[0])
    found = eliminate_below(problem, rest)
    trouble = _left_over(problem, found, finite) or _improper(problem, found)
    if trouble is not None:
        return trouble
    density = CollapsedDensity(problem, [*finite, *found.core], found.pieces)
    if density.cost * states.count * (_POINTS if found.core else 1) > _WORK:
        each = f", of {density.cost:,} numbers each," if density.cost > 1 else ""
        return Refusal(f"{states.count:,} joint states of {listed(finite)}{each} are too many to sum")
    if not found.core:
        logs = density.at(states.values)
        return _unequal(problem, density, logs) or StatesCore(problem, states, density, None, logs)
    return _with_a_line(problem, states, density, found.core[0])


def _all_states(problem: Problem, finite: Sequence[str]) -> States | Refusal:
    choices: dict[str, Array] = {}
    for name in finite:
        latent = problem.latents[name]
        found = finite_values(latent.prior, problem.env)
        if isinstance(found, Refusal):
            return _not_integrated(name)
        choices[name] = found
    digits = sum(problem.latents[n].size * log10(len(v)) for n, v in choices.items())
    if digits > log10(MOST_STATES) + 1e-9:
        have = "have" if len(finite) > 1 else "has"
        return Refusal(
            f"{listed(finite)} {have} {_number(digits)} joint states, and {MOST_STATES:,} are summed at most"
        )
    counts = np.array([len(v) for n, v in choices.items() for _ in range(problem.latents[n].size)])
    size = int(counts.prod())
    places = np.arange(size) // (size // np.cumprod(counts))[:, None] % counts[:, None]
    values, start = {}, 0
    for name, few in choices.items():
        latent = problem.latents[name]
        values[name] = few[places[start : start + latent.size]].T.reshape(size, *latent.shape)
        start += latent.size
    return States(values, choices)


def _not_integrated(name: str) -> Refusal:
    return Refusal(f"'{name}' is discrete, and is not integrated out")


def _left_over(problem: Problem, found: Elimination, finite: Sequence[str]) -> Refusal | None:
    """Say what stays beside the finite latents, where that is more than one number that stands by itself."""
    if not found.core:
        return None
    if found.size > 1:
        return Refusal(
            f"{listed(found.core)} ({found.size} numbers) would be left beside {listed(finite)}, and one at most is "
            "integrated there"
        )
    (name,) = found.core
    if any(bounds_depend_on(problem, name, z) for z in finite if z in problem.latents[name].prior.parents):
        return Refusal(f"the support of '{name}' moves with {listed(finite)}")
    return None


def _improper(problem: Problem, found: Elimination) -> Refusal | None:
    """Refuse improper priors but on coefficients: that these are determined in every state is seen by their systems."""
    for name in [n for p in found.pieces if not isinstance(p, GaussianPiece) for n in p.names] + list(found.core):
        if not problem.latents[name].prior.distribution.is_proper:
            return Refusal(f"the prior of '{name}' is improper, and states cannot be compared")
    return None


def _unequal(problem: Problem, density: CollapsedDensity, logs: Array) -> Refusal | None:
    """Refuse states in which improper priors are not mended: their weights are not zero, they have none."""
    improper = [n for p in density.pieces for n in p.names if not problem.latents[n].prior.distribution.is_proper]
    lost = int(np.isneginf(logs).sum()) if improper else 0
    if lost:
        return Refusal(f"the posterior of {listed(improper)} is improper in some states ({lost} of {len(logs)})")
    if np.any(np.isposinf(logs)):
        return Refusal("the density is infinite in some states")
    return None


def _with_a_line(problem: Problem, states: States, density: CollapsedDensity, name: str) -> StatesCore | Refusal:
    """Integrate one continuous number in every possible state."""
    own = [f for f in density.priors if f.variables <= problem.env.keys() | states.values.keys()]
    env = {**problem.env, **states.values}
    with np.errstate(all="ignore"):
        prior = np.zeros(states.count) + sum(f.total(env) for f in own)
    kept = np.flatnonzero(prior > -np.inf)
    states = States({n: v[kept] for n, v in states.values.items()}, states.listed)
    scale = Unconstrained(problem, [name], [n for p in density.pieces for n in p.names])

    def log_density(u: Array) -> Array:
        tiled = {n: np.tile(v, (len(u), *(1 for _ in v.shape[1:]))) for n, v in states.values.items()}
        value, jacobian = scale.unpack(u.reshape(-1, 1), {**problem.env, **tiled})
        total = density.at({**tiled, **value}) + jacobian
        return np.where(np.isnan(total), -np.inf, total).reshape(u.shape)

    with np.errstate(all="ignore"):
        points = _starts(problem, scale, name)
        heights = log_density(np.repeat(points[:, None], states.count, axis=1))
        start = points[heights.argmax(axis=0)]
        possible = np.isfinite(heights.max(axis=0))
        if not possible.all():
            return Refusal(f"no value of '{name}' was found that is possible in {int((~possible).sum())} states")
        first = {n: v[:1] for n, v in states.values.items()}  # the support is the same in every state
        limits = limits_of(scale.transform(name, {**problem.env, **first}), 1)
        lower, upper = (np.broadcast_to(end, (states.count,)) for end in limits)
        try:
            line = integrate_line(log_density, start, name=name, limits=(lower, upper))
        except (ImproperError, RefusedError, np.linalg.LinAlgError) as error:
            return Refusal(str(error))
    return StatesCore(problem, states, density, line, line.log_mass, scale)


def _starts(problem: Problem, scale: Unconstrained, name: str) -> Array:
    """Return points dispersed over the prior of a number, on the unconstrained scale."""
    rng = np.random.default_rng(_SEED)
    above, open_ = {name}, [name]
    while open_:
        new = (problem.latents[open_.pop()].prior.parents & problem.latents.keys()) - above
        above |= new
        open_ += new
    drawn = [
        scale.pack({**problem.env, **s})
        for s in dispersed(problem, [n for n in problem.latents if n in above], rng, _EACH)
    ]
    points = np.concatenate(drawn)[:, 0]
    return np.unique(points[np.isfinite(points)])


class StatesCore:
    """Finite latents of which all joint states are summed, and what is integrated out given them."""

    def __init__(
        self,
        problem: Problem,
        states: States,
        density: CollapsedDensity,
        line: Line | None,
        logs: Array,
        scale: Unconstrained | None = None,
    ) -> None:
        self.problem, self.states, self.density, self.line, self.scale = problem, states, density, line, scale
        self.core, self.pieces, self.factors = tuple(density.names), density.pieces, density.factors
        self.names = held_names(problem, self.core, self.pieces)
        self.unchecked: tuple[str, ...] = ()
        self.logs = logs
        self.total = float(logsumexp(logs))
        finite = list(states.values)
        if not self.total > -np.inf:
            raise SupportError(
                f"The observations must be possible in some state of {listed(finite)}. Got a density of zero in all "
                f"{states.count:,}. Check the priors for zeros, and the values observed."
            )
        self.p = np.exp(logs - self.total)
        self.label = f"core of {states.count:,} joint states, all summed (drawn independently)"
        self.notes = dict.fromkeys(finite, self.label) | piece_notes(self.pieces)
        if line is not None:
            (name,) = (n for n in self.core if n not in states.values)
            self.notes[name] = f"integrated in every state, by quadrature with {len(line.nodes)} nodes"

    @property
    def beside(self) -> str | None:
        """Return the continuous number of the core, where there is one."""
        return next((n for n in self.core if n not in self.states.values), None)

    def sample(self, rng: np.random.Generator, chains: int, draws: int) -> CollapsedDraws:
        """Draw the state, then the number beside it, then the rest: independent draws."""
        count = chains * draws
        cumulative = np.cumsum(self.p)
        state = np.minimum(
            np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right"), len(self.p) - 1
        )
        values = {n: v[state] for n, v in self.states.values.items()}
        lp = self.logs[state]
        if self.line is not None and self.scale is not None:
            u = np.asarray(self.line.panels.quantile(rng.uniform(2.0**-54, 1.0, count), state))
            found, jacobian = self.scale.unpack(u[:, None], {**self.problem.env, **values})
            values |= found
            lp = lp + self.line.panels.log_density(u, state) - jacobian
        drawn, log_density = self.density.draw_pieces(values, rng)
        return CollapsedDraws(values | drawn, lp + log_density)

    def log_evidence(self) -> tuple[float, float]:
        """Return the log of the sum over states, and the error of the quadrature, if there was any."""
        return self.total, 0.0 if self.line is None else float(self.p @ self.line.error)

    def probabilities(self, name: str) -> Array:
        """Return the probabilities of a finite latent's values: ``(*dims, values)``."""
        states, listed = self.states.values[name], self.states.listed[name]
        flat = states.reshape(len(states), -1)
        found = np.stack([self.p @ (flat == v) for v in listed], axis=-1)
        return (found / found.sum(axis=-1, keepdims=True)).reshape(*states.shape[1:], len(listed))

    def marginal(self, name: str, wrap: Callable[..., Any]) -> Distribution | Refusal:
        """Return the probabilities of a finite latent, or for what is below it the mixture over the states."""
        from bayeskit.distributions.mixture import Mixture, over_nodes

        latent = self.problem.latents[name]
        if name in self.states.values:
            return finite_marginal(latent, self.states.listed[name], self.probabilities(name), wrap)
        if name == self.beside:
            return Refusal("it is integrated in every state, and mixtures of tables are not given as distributions")
        env, weights = self._nodes()
        if len(weights) * latent.size > _NODES:
            return Refusal(f"it is a mixture of {len(weights):,} distributions")
        piece = next(p for p in self.pieces if name in p.names)
        with np.errstate(all="ignore"):
            base = piece.conditional(name, {**self.problem.env, **env}, over_nodes(wrap))
        return base if isinstance(base, Refusal) else Mixture(base, weights)

    def _nodes(self) -> tuple[dict[str, Array], Array]:
        """Return the core at the states, or at the nodes of the quadrature in them, that weigh anything; weights."""
        if self.line is None or self.scale is None:
            kept = np.flatnonzero(self.p > _NEGLIGIBLE)
            return {n: v[kept] for n, v in self.states.values.items()}, self.p[kept]
        weights = self.line.panels.probabilities * self.p
        node, state = np.nonzero(weights > _NEGLIGIBLE)
        env = {n: v[state] for n, v in self.states.values.items()}
        found, _ = self.scale.unpack(self.line.nodes[node, state][:, None], {**self.problem.env, **env})
        return env | found, weights[node, state]


def _number(digits: float) -> str:
    return f"{round(10**digits):,}" if digits < 12 else f"about 1e{digits:.0f}"
