"""Connected finite latents as an exact component: variables are eliminated, not enumerated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import SupportError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.elementwise import elementwise
from bayeskit.inference.enumeration import finite_values
from bayeskit.inference.networks.answers import finite_marginal, listed
from bayeskit.inference.networks.contraction import Contraction
from bayeskit.inference.networks.elements import Elements, TooMany
from bayeskit.inference.networks.graph import Tangled
from bayeskit.inference.networks.layout import Layout, smallest
from bayeskit.inference.networks.weights import Weights, factor_weights, term_weights
from bayeskit.model.problem import Problem

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
MOST_NUMBERS = 20_000_000  # of one table
MOST_AXES = 60  # of one table: those of a single state count too
MOST_VARIABLES = 5_000  # that are eliminated one by one


def coupled_network(problem: Problem, names: Sequence[str]) -> ExactNetwork | Refusal | None:
    """Return connected finite latents, summed out; None for others, and for one latent of independent elements."""
    if len(names) == 1 and not problem.terms_of(names[0]):
        conditional = elementwise(problem, names[0])
        if not isinstance(conditional, Refusal):
            return None
    return finite_network(problem, names)


def finite_network(problem: Problem, names: Sequence[str]) -> ExactNetwork | Refusal | None:
    """Return connected finite latents, summed out, or what is too wide; None where one of them is not finite.

    Raises
    ------
    SupportError
        Where what was observed is impossible whatever their values.
    """
    values: dict[str, Array] = {}
    for name in names:
        found = finite_values(problem.latents[name].prior, problem.env)
        if isinstance(found, Refusal):
            return None
        values[name] = found
    elements = Elements([problem.latents[n] for n in names], values)
    try:
        weights = _weights(problem, names, elements)
    except TooMany as error:
        return Refusal(f"{error}, and tables of {MOST_NUMBERS:,} numbers at most are held")
    return _contracted(problem, elements, weights)


def _weights(problem: Problem, names: Sequence[str], elements: Elements) -> list[Weights]:
    env = problem.env
    found = [factor_weights(f, elements, env, MOST_NUMBERS) for f in problem.factors_of(names)]
    for label in dict.fromkeys(t for n in names for t in problem.terms_of(n)):
        is_condition = label in problem.conditions
        term = problem.conditions[label] if is_condition else problem.potentials[label]
        found.append(term_weights(label, term, elements, env, MOST_NUMBERS, is_condition=is_condition))
    return found


def _contracted(problem: Problem, elements: Elements, weights: Sequence[Weights]) -> ExactNetwork | Refusal:
    """Find the order of the sums, unrolling plates as far as their elements meet."""
    sizes = {d: n for e in elements.latents.values() for d, n in zip(e.variable.dims, e.shape, strict=True)}
    unrolled: set[str] = set()
    while True:
        layout = Layout(elements, weights, unrolled)
        count = len(layout.sizes.states)
        if count > MOST_VARIABLES:
            meet = ", ".join(f"'{d}'" for d in sorted(unrolled))
            return Refusal(
                f"elements meet along {meet}, and {count:,} finite variables are too many to eliminate one by one "
                f"({MOST_VARIABLES:,} at most)"
            )
        try:
            contraction = Contraction(layout.tables(), layout.sizes)
        except Tangled as error:
            unrolled.add(smallest(error.plates, sizes))
            continue
        if contraction.widest > MOST_NUMBERS:
            return Refusal(
                f"eliminating {count} finite variables takes a table of {contraction.widest:,} numbers, and "
                f"{MOST_NUMBERS:,} are held at most"
            )
        if max(len(n.plates) + len(n.width) for n in contraction.nodes) > MOST_AXES:
            return Refusal(f"eliminating {count} finite variables takes a table of more than {MOST_AXES} variables")
        return ExactNetwork(problem, layout, contraction)


class ExactNetwork:
    """Finite latents given data alone, summed out one after the other.

    Source: Lauritzen and Spiegelhalter (1988), Local computations with probabilities on graphical structures,
    J. R. Statist. Soc. B 50, 157-224; Dechter (1999), Bucket elimination, Artif. Intell. 113, 41-85.
    """

    def __init__(self, problem: Problem, layout: Layout, contraction: Contraction) -> None:
        self.problem, self.layout, self.contraction = problem, layout, contraction
        self.names = list(layout.elements.latents)
        self.upward = contraction.upward()
        self.total = contraction.total(self.upward)
        if not self.total > -np.inf:
            raise SupportError(
                f"The observations and conditions must be possible together. Got a probability of zero under every "
                f"value of {listed(self.names)}. Check the tables for zeros, and the values observed."
            )
        count, plates = len(layout.sizes.states), list(layout.sizes.plates)
        variables = f"{count} variable{'s' if count > 1 else ''}"
        along = f", each along {listed(plates)} as one" if plates else ""
        self.reason = (
            f"finite network: {variables} eliminated{along}; the widest table has {contraction.widest:,} numbers"
        )

    def sample(self, rng: np.random.Generator, draws: int) -> dict[str, Array]:
        """Draw all latents jointly and independently."""
        return self._values(self.contraction.draw(self.upward, rng, draws), lead=1)

    def mode(self) -> dict[str, Array]:
        """Return the most probable joint state."""
        return self._values(self.contraction.top(), lead=0)

    def _values(self, states: Sequence[Array], lead: int) -> dict[str, Array]:
        values = self.layout.elements.values
        return {n: values[n][self.layout.gathered(n, states, lead)] for n in self.names}

    @cached_property
    def _marginals(self) -> list[Array]:
        return self.contraction.marginals(self.upward)

    def probabilities(self, name: str) -> Array:
        """Return the probabilities of a latent's values: ``(*dims, values)``."""
        return np.exp(self.layout.gathered(name, self._marginals))

    def marginal(self, name: str, wrap: Any) -> Distribution:
        """Return a Bernoulli or a Categorical where the prior is one, else a distribution on the values."""
        values = self.layout.elements.values[name]
        return finite_marginal(self.problem.latents[name], values, self.probabilities(name), wrap)

    def log_evidence(self) -> float:
        """Return the log of the sum over all joint states."""
        return self.total

    def log_density(self, values: Mapping[str, Array]) -> Array:
        """Return the log probability of joint values."""
        labels = {t for n in self.names for t in self.problem.terms_of(n)}
        env = {**self.problem.env, **values}
        total = sum(f.total(env) for f in self.problem.factors_of(self.names))
        for label in labels:
            if label in self.problem.potentials:
                term = self.problem.potentials[label].evaluate(env)
            else:
                holds = self.problem.conditions[label].evaluate(env).astype(bool)
                term = np.where(holds, 0.0, -np.inf)
            total = total + term.reshape(len(term), -1).sum(axis=1)
        return np.asarray(total - self.total)
