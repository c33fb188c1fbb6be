r"""Bayes factors: how much more probable one model makes the data than another.

.. math:: B_{ab} = p(y \mid a) / p(y \mid b)

Source: Kass and Raftery (1995), Bayes factors, JASA 90, 773-795, eq. 1.
"""

from __future__ import annotations

from math import exp, hypot
from typing import Self

import numpy as np

from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.plan import Plan
from bayeskit.model.problem import Problem
from bayeskit.posterior.evidence import improper_latents, log_evidence
from bayeskit.posterior.posterior import Posterior
from bayeskit.statistics.sufficient import must_have_rows

_LARGEST = 709.0  # exp beyond it overflows


class BayesFactor(float):
    """A Bayes factor: a float that carries its logarithm ``log``, the error of that, ``log_se``, and its own, ``se``.

    A factor beyond the range of floats is ``inf`` or 0; its logarithm is right.
    """

    log: float
    log_se: float

    def __new__(cls, log: float, log_se: float = 0.0) -> Self:
        """Make the number from its logarithm."""
        number = super().__new__(cls, exp(log) if log < _LARGEST else np.inf)
        number.log, number.log_se = log, log_se
        return number

    @property
    def se(self) -> float:
        """Standard error: 0 where both evidences are exact."""
        return float(self) * self.log_se if self.log_se else 0.0


def bayes_factor(a: Posterior, b: Posterior) -> BayesFactor:
    r"""Return the Bayes factor of one model against another, :math:`p(y \mid a) / p(y \mid b)`.

    Parameters
    ----------
    a, b : Posterior
        Two models conditioned on the same data.

    Returns
    -------
    BayesFactor
        A float with ``log``, ``log_se`` and ``se``.

    Raises
    ------
    RefusedError
        Where the data differ, or an evidence is not known.
    ImproperError
        Where an improper prior is not held by both models: its constant is arbitrary and does not cancel.

    Notes
    -----
    An improper prior that both models put on the same latent has the same arbitrary constant in both, and cancels. It
    must stand for the same quantity in both, which only you can know: the scale of the noise does, an intercept does
    where the other columns are centred. Source: Kass and Raftery (1995), JASA 90, sec. 5.

    Examples
    --------
    >>> import bayeskit as bk
    >>> def coin(prior):
    ...     m = bk.Model()
    ...     m.observed("y", bk.Binomial(100, m.latent("p", prior)))
    ...     return m.condition({"y": 62})
    >>> round(bk.bayes_factor(coin(bk.Beta(1, 1)), coin(bk.Beta(500, 500))), 3)
    1.786
    """
    plans = [a._plan, b._plan]
    _check_data(a._problem, b._problem)
    _check_improper(*plans)
    first, second = (log_evidence(plan, improper=True) for plan in plans)
    return BayesFactor(float(first) - float(second), hypot(first.se, second.se))


def _check_data(a: Problem, b: Problem) -> None:
    """Refuse models of different data."""
    for problem in (a, b):
        must_have_rows(problem, "Whether two models have the same data")
    data = [{(o.name, i): o.values for i, o in enumerate(p.observations)} for p in (a, b)]
    names = [sorted({n for n, _ in d}) for d in data]
    if names[0] != names[1]:
        raise RefusedError(
            f"A Bayes factor compares two models of the same data. Got observations of {names[0]} and of {names[1]}. "
            "Observe the same variables in both."
        )
    for key, values in data[0].items():
        other = data[1].get(key)
        if other is None or values.shape != other.shape or not np.array_equal(values, other, equal_nan=True):
            raise RefusedError(
                f"A Bayes factor compares two models of the same data. Got different values of '{key[0]}'. "
                "Condition both on the same."
            )


def _check_improper(a: Plan, b: Plan) -> None:
    """Refuse improper priors whose constants do not cancel."""
    first, second = improper_latents(a), improper_latents(b)
    for name in [*first, *second]:
        one, two = first.get(name), second.get(name)
        shapes = [p.problem.latents[name].shape for p in (a, b) if name in p.problem.latents]
        if one != two or len(set(shapes)) != 1:
            raise ImproperError(
                f"The Bayes factor is not defined: '{name}' has the improper prior {one or two} in one model, and in "
                f"the other {'a prior of another shape' if one == two else two or 'no such prior'}, so its arbitrary "
                "constant does not cancel. Use a proper prior, or the same one in both."
            )
