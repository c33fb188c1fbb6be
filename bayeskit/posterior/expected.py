"""Distributions of what observations are expected to be: functions of the latents, without the noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions import Normal
from bayeskit.errors import RefusedError
from bayeskit.expressions import Constant, Expression, aligner
from bayeskit.expressions.linear import NotLinear, linear_form
from bayeskit.expressions.nodes import Apply
from bayeskit.inference.predictive.cells import Labeller, NoClosedForm
from bayeskit.inference.predictive.closed import Knowledge, marginal, vector_mean
from bayeskit.model.problem import Factor
from bayeskit.posterior.monotone import NotMonotone, Reader

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

# Families whose mean is made of operators, so that it is an expression where the parameters are.
_PLAIN = frozenset(
    """
    Bernoulli BetaBinomial Binomial ChiSquared Exponential Gamma Geometric HalfNormal Laplace LogNormal Logistic
    NegativeBinomial Normal Poisson Uniform
    """.split()
)


def expected_distribution(knowledge: Knowledge, factor: Factor, wrap: Any) -> Distribution:
    """Return the distribution of a factor's expected value given its parents.

    Raises
    ------
    NoClosedForm
        Where it is no linear form of a Gaussian block and no monotone function of one latent.
    """
    family = factor.distribution.family
    if family == "MvNormal":
        return vector_mean(knowledge, factor, wrap)
    if family not in _PLAIN:
        raise NoClosedForm(f"the mean of a {family} is not read as an expression")
    expression = factor.distribution._mean(*factor.parameters)
    knowledge.parents(factor)
    try:
        return _Expected(knowledge, factor, wrap).read(expression)
    except NotMonotone as reason:
        raise NoClosedForm(str(reason)) from None
    except RefusedError as refusal:
        raise NoClosedForm(str(refusal).rstrip(".")) from None


class _Expected(Reader):
    """Reads an expression of latents: what has a marginal of its own is a leaf, monotone functions are steps."""

    def __init__(self, knowledge: Knowledge, factor: Factor, wrap: Any) -> None:
        self.knowledge, self.factor, self.wrap = knowledge, factor, wrap
        self.latents = set(knowledge.plan.problem.latents)
        self.name = "', '".join(knowledge.parents(factor))  # what messages say
        self.label = self._label

    def touches(self, node: Expression) -> bool:
        """Whether a node depends on a latent."""
        return bool(node.variables & self.latents)

    def read(self, node: Expression) -> Distribution:
        """Return the distribution of a node."""
        if not self.touches(node):
            raise NoClosedForm(f"{node} is known: nothing unknown enters it")
        if self._is_leaf(node):
            own = replace(
                self.factor,
                distribution=Normal(0, 1),
                parameters=(node, Constant(1.0)),
                layouts=(self.factor.plates, ()),
                event=(),
            )
            return marginal(self.knowledge, own, self.wrap)
        return super().read(node)

    def _is_leaf(self, node: Expression) -> bool:
        """Whether a node is a latent's element, or linear in several latents at once."""
        if not isinstance(node, Apply):
            return True
        touched = [arg for arg in node.args if self.touches(arg)]
        if len(touched) == 1:
            return False
        return not isinstance(linear_form(node, node.variables & self.latents, self.factor.sizes), NotLinear)

    def _label(self, part: Expression) -> Any:
        env = self.knowledge.env
        if not part.variables <= env.keys():
            raise NotMonotone(f"{part} is not known")
        value = np.asarray(part.evaluate(env), dtype=float)
        if not part.dims:
            return float(value.reshape(()))
        return Labeller(self.wrap, self.factor.shape, 1)(aligner(part.dims, self.factor.plates)(value))
