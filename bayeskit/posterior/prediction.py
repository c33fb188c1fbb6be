"""Prediction: what observed variables will be, as distributions where they have a closed form, and as draws."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import RefusedError
from bayeskit.inference.plan import Plan, make_plan
from bayeskit.inference.predictive.cells import NoClosedForm
from bayeskit.inference.predictive.closed import Knowledge
from bayeskit.inference.seeding import Seed
from bayeskit.model.binding import read
from bayeskit.model.problem import Factor, Problem
from bayeskit.posterior.labels import wrapper
from bayeskit.posterior.predictive import draw_predictive
from bayeskit.statistics.reduction import Reduction
from bayeskit.statistics.sufficient import must_have_rows

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeskit.distributions import Distribution
    from bayeskit.posterior.posterior import Posterior

Array = np.ndarray


class Prediction:
    r"""The posterior predictive of the observed variables: made by ``Posterior.predict``, never changed.

    .. math:: p(y^* \mid y) = \int p(y^* \mid \theta)\, p(\theta \mid y)\, d\theta

    ``prediction["y"]`` is that of every element of ``y``, each on its own, as a distribution over the new rows and
    their labels; ``sample`` draws all elements jointly. New labels of a dim that latents bear are new groups, known by
    their prior given the rest. Source: Gelman et al. (2013), Bayesian Data Analysis, eq. 1.4.

    Attributes
    ----------
    names : list of str
        The observed variables.
    include_noise : bool
        Whether observations are predicted, or their expected values given the latents.

    Examples
    --------
    >>> import bayeskit as bk
    >>> m = bk.Model()
    >>> n = m.data("n", dims="day")
    >>> y = m.observed("y", bk.Binomial(n, m.latent("p", bk.Beta(1, 1))), dims="day")
    >>> posterior = m.condition({"n": [10, 20], "y": [7, 11]})
    >>> prediction = posterior.predict({"n": [5, 40]})
    >>> prediction
    Prediction of new rows
      y  day: 2  exact: BetaBinomial
    >>> prediction["y"].quantile(0.9).values
    array([ 4., 30.])
    >>> posterior.predict({"n": [5]}, include_noise=False)["y"].mean().round(3).values
    array([2.969])
    """

    def __init__(self, posterior: Posterior, data: Any, more: Mapping[str, Any], *, include_noise: bool) -> None:
        self.posterior, self.include_noise = posterior, include_noise
        if data is None and not more:
            must_have_rows(posterior._problem, "Replicated data")
        # without data there are no replicates
        replicated = data is None and not more and posterior._problem.observations
        self._wider = None if replicated else _extended(posterior, data, more)
        self._exact: dict[str, Distribution | str] = {}
        self._number = len(posterior._batches)

    @property
    def names(self) -> list[str]:
        """The observed variables."""
        held = [r.name for r in self.posterior.model.random.values() if r.observed]
        if self._wider is None:
            return [n for n in held if any(o.name == n for o in self.posterior._problem.observations)]
        return [n for n in held if f"{n}@{self._number}" in self._wider.latents]

    # ---- exact answers ------------------------------------------------------------------------------------------
    def __getitem__(self, name: str) -> Distribution:
        """Return the exact predictive of every element of an observed variable.

        Raises
        ------
        RefusedError
            Where it has no closed form; the message says why.
        """
        if name not in self.names:
            raise RefusedError(
                f"'{name}' is not predicted. The observed variables are {self.names or 'none'}: ask for one of them."
            )
        found = self._found(name)
        if isinstance(found, str):
            what = "predictive" if self.include_noise else "distribution of its expected value"
            raise RefusedError(
                f"'{name}' has no exact {what} here: {found}. Use .sample() of the prediction, which draws it."
            )
        return found

    def _found(self, name: str) -> Distribution | str:
        """Return the exact predictive, or why there is none; worked out once."""
        if name not in self._exact:
            try:
                self._exact[name] = self._work_out(name)
            except NoClosedForm as reason:
                self._exact[name] = str(reason)
            except RefusedError as refusal:
                self._exact[name] = str(refusal).rstrip(".")
        return self._exact[name]

    def _work_out(self, name: str) -> Distribution:
        factor, problem = self._factor(name)
        Knowledge(self.posterior._plan, problem.env).parents(factor)  # before anything is planned anew
        knowledge = Knowledge(self._plan, problem.env)
        wrap = _over_rows(problem, factor)
        if self.include_noise:
            return knowledge.predictive(factor, wrap)
        from bayeskit.posterior.expected import expected_distribution

        return expected_distribution(knowledge, factor, wrap)

    def _factor(self, name: str) -> tuple[Factor, Problem]:
        """Return what an observed variable is distributed by, and the problem whose labels are its rows'."""
        if self._wider is not None:
            wider = self._wider
            return wider.latents[f"{name}@{self._number}"].prior, replace(
                wider, coords=wider.batch_coords[self._number]
            )
        problem = self.posterior._problem
        observations = [o for o in problem.observations if o.name == name]
        if len(observations) > 1:
            raise NoClosedForm(
                f"its rows came in {len(observations)} batches, and are given as one distribution only for new columns"
            )
        return observations[0].factor, problem

    @cached_property
    def _plan(self) -> Plan:
        """The posterior's plan; one of its own where new labels are new groups."""
        old, wider = self.posterior._problem.latents, self._wider
        if wider is None or all(wider.latents[n].shape == latent.shape for n, latent in old.items()):
            return self.posterior._plan
        return make_plan(Reduction(wider).problem)

    def summary(self, prob: float = 0.89, *, seed: Seed = None) -> pd.DataFrame:
        """Return means, sds and intervals of equal tails: exact where the predictive is, of draws else.

        Parameters
        ----------
        prob : float
            Probability of the intervals.
        seed : int, optional
            Of the draws, where any are needed.
        """
        import xarray as xr

        from bayeskit.posterior.summary import exact_figures, merged_summary

        exact: dict[str, xr.DataArray] = {}
        for name in self.names:
            try:
                exact[name] = exact_figures(self[name], prob)
            except RefusedError:
                continue
        tree = None
        if len(exact) < len(self.names):
            drawn = self.sample(seed=seed)
            group = "predictions" if "predictions" in drawn else "posterior_predictive"
            tree = xr.DataTree.from_dict({"posterior": drawn[group].to_dataset()})
        return merged_summary(exact, tree, prob=prob, var_names=self.names)

    # ---- draws --------------------------------------------------------------------------------------------------
    def sample(self, draws: int = 1000, *, chains: int = 4, seed: Seed = None) -> xr.DataTree:
        """Draw the latents from the posterior, and the observed variables given them.

        Parameters
        ----------
        draws, chains : int
            Draws a chain, and chains.
        seed : int, optional
            The same seed gives the same draws.

        Returns
        -------
        xarray.DataTree
            ``posterior`` and ``posterior_predictive`` (replicated data) or, for new columns, ``predictions`` and
            ``predictions_constant_data``.
        """
        return draw_predictive(
            self.posterior, self._wider, noise=self.include_noise, draws=draws, chains=chains, seed=seed
        )

    def __repr__(self) -> str:
        rows = "replicated data" if self._wider is None else "new rows"
        what = "" if self.include_noise else "the expected values of "
        lines = [f"Prediction of {what}{rows}"]
        width = max((len(n) for n in self.names), default=0)
        for name in self.names:
            found = self._found(name)
            how = f"drawn by .sample(): {found}" if isinstance(found, str) else f"exact: {_called(found)}"
            lines.append(f"  {name:{width}}  {self._size(name)}  {how}")
        return "\n".join(lines)

    def _size(self, name: str) -> str:
        try:
            factor, _ = self._factor(name)
        except NoClosedForm:
            return "several batches"
        return ", ".join(f"{d}: {factor.sizes[d]}" for d in factor.plates + factor.event) or "one value"


def _called(distribution: Distribution) -> str:
    """Return a family, without its parameters."""
    return repr(distribution) if "cell" in distribution.canonical else distribution.family


def _extended(posterior: Posterior, data: Any, more: Mapping[str, Any]) -> Problem:
    """Return the problem with new rows as one more batch, whose observations are unknown."""
    random = posterior.model.random
    given = {n: v for n, v in read(posterior.model, data, more).items() if n not in random or not random[n].observed}
    binding = copy(posterior._binding)
    binding.draw_observed = True
    return binding.extended(given).problem


def _over_rows(problem: Problem, factor: Factor) -> Any:
    """Return a function that labels arrays over a factor's rows."""
    from bayeskit.expressions import Variable
    from bayeskit.model.problem import Latent

    dims = factor.plates + factor.event
    shape = tuple(factor.sizes[d] for d in dims)
    rows = Latent(factor.name, Variable(factor.name, dims), shape, factor)
    return wrapper(replace(problem, latents={factor.name: rows}), factor.name)
