"""Posterior: a model conditioned on data. It explains itself, answers in distributions, and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.inference.explain import explain
from bayeskit.inference.options import StepOption
from bayeskit.inference.plan import Plan, make_plan
from bayeskit.inference.seeding import Seed
from bayeskit.model.binding import Binding
from bayeskit.model.problem import Problem
from bayeskit.model.reading import Given, is_summary
from bayeskit.posterior.checks.interface import Checks
from bayeskit.posterior.evidence import Evidence, log_evidence
from bayeskit.posterior.marginals import exact_marginal
from bayeskit.posterior.sampling import Sampling
from bayeskit.statistics.margins import by_margins
from bayeskit.statistics.reduction import Reduction
from bayeskit.statistics.sufficient import (
    SufficientStatistics,
    all_statistics,
    read_batch,
    removed,
    with_statistics,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeskit.distributions import Distribution
    from bayeskit.model import Model
    from bayeskit.posterior.laplace import Laplace
    from bayeskit.posterior.mode import Mode
    from bayeskit.posterior.prediction import Prediction

Array = np.ndarray


class Posterior(Sampling, Checks):
    """What is known after the data: made by ``Model.condition``, never changed.

    Examples
    --------
    >>> import bayeskit as bk
    >>> m = bk.Model()
    >>> p = m.latent("p", bk.Beta(1, 1))
    >>> y = m.observed("y", bk.Binomial(10, p))
    >>> posterior = m.condition({"y": 7})
    >>> posterior["p"]
    Beta(8.0, 4.0)
    >>> print(posterior.explain())
    method: exact (every posterior is known in closed form)
      p  exact; conjugate: Beta(1, 1) prior with Binomial(p) of 'y'
    >>> round(posterior.log_evidence(), 4)
    -2.3979
    """

    def __init__(self, model: Model, given: Mapping[str, Given], before: Posterior | None = None) -> None:
        self.model = model
        self._binding: Binding = Binding(model, [given]) if before is None else before._binding.extended(given)
        self._reduction: Reduction = Reduction(self._binding.problem, None if before is None else before._reduction)
        self._batches = tuple(self._binding.given)
        self._problem: Problem = by_margins(
            with_statistics(self._reduction.problem, self._binding, None if before is None else before._problem)
        )

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(self._problem)

    # ---- what is done, and why ----------------------------------------------------------------------------------
    def explain(self, *, method: str = "auto", steps: Mapping[str, StepOption] | None = None) -> str:
        """Return, for every variable, what is done to it and because of what."""
        return explain(self._choose(method, steps))

    # ---- exact answers ------------------------------------------------------------------------------------------
    def __getitem__(self, name: str) -> Distribution:
        """Return the exact marginal of a latent or of a derived quantity.

        Raises
        ------
        RefusedError
            Where it has no closed form; the message says why.
        """
        return exact_marginal(self._plan, name)

    @property
    def is_exact(self) -> bool:
        """Whether every latent has its posterior in closed form (or is drawn forward)."""
        return self._plan.method == "exact"

    def log_evidence(self) -> Evidence:
        """Return the log density of the data, all latents integrated out: a float with ``.se``, 0 where exact."""
        return log_evidence(self._plan)

    def mode(self, scale: str = "natural") -> Mode:
        """Return the highest point of the joint posterior density (maximum a posteriori), with its curvature.

        Parameters
        ----------
        scale : {"natural", "unconstrained"}
            Of which density: that of the latents as they were declared, or on the scale on which positive numbers are
            logs and shares log odds. The two have different modes.

        Returns
        -------
        Mode
            ``values``, ``log_density``, ``scale`` and ``covariance``.

        Raises
        ------
        RefusedError
            Where a discrete latent meets continuous ones, or the density has no highest point: in hierarchies it often
            rises without end as a scale goes to zero.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(2, 2))))
        >>> mode = m.condition({"y": 7}).mode()
        >>> round(float(mode.values["p"]), 6), round(float(mode.covariance[0, 0]) ** 0.5, 4)
        (0.666667, 0.1361)
        """
        from bayeskit.posterior.mode import find_mode

        return find_mode(self._problem, scale)

    def laplace(self) -> Laplace:
        """Return Laplace's approximation: cores normal about their modes, the rest exact given them.

        Returns
        -------
        Laplace
            ``log_evidence``, ``sample(draws, chains=, seed=)`` and ``explain()``.
        """
        from bayeskit.posterior.laplace import Laplace

        return Laplace(self._problem)

    def log_prob(self, values: Any) -> xr.DataArray:
        """Return the joint posterior log density of all latents at some values.

        It is normalised where the evidence is exact; else the log joint density of data and latents is returned, and
        the attribute ``normalised`` says so.

        Parameters
        ----------
        values : mapping or Dataset
            For every latent a value with the latent's dims; DataArrays may bear chain and draw (or other) dims too.
        """
        from bayeskit.posterior.density_of import log_prob

        return log_prob(self._plan, values)

    def summary(self, tree: xr.DataTree | None = None, *, prob: float = 0.89, seed: Seed = None) -> pd.DataFrame:
        """Return mean, sd and interval of every variable: exact where the marginal is, ArviZ's figures else.

        Parameters
        ----------
        tree : DataTree, optional
            Draws to summarise; by default ``sample(seed=seed)``, where anything is sampled.
        prob : float
            Probability of the intervals, which have equal tails.
        """
        from bayeskit.posterior.frames import Request, summarise

        return summarise(self, Request(prob, tree, seed=seed))

    def to_dataset(
        self,
        var_names: str | Sequence[str] | None = None,
        *,
        prob: float = 0.89,
        exact: bool = False,
        tree: xr.DataTree | None = None,
        seed: Seed = None,
    ) -> xr.Dataset:
        """Return mean, sd and interval of every number, along the first dim ``summary``, labels as coordinates.

        Parameters are those of `to_dataframe`.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model(coords={"arm": ["A", "B"]})
        >>> y = m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(1, 1), dims="arm")), dims="arm")
        >>> dataset = m.condition({"y": [3, 5]}).to_dataset()
        >>> dataset["p"].sel(summary="mean", arm="B").item()
        0.5
        """
        from bayeskit.posterior.frames import Request, to_dataset

        return to_dataset(self, var_names, Request(prob, tree, exact, seed))

    def to_dataframe(
        self,
        var_names: str | Sequence[str] | None = None,
        *,
        prob: float = 0.89,
        exact: bool = False,
        tree: xr.DataTree | None = None,
        seed: Seed = None,
    ) -> pd.DataFrame:
        """Return mean, sd and interval of every number in one table: a million cells take seconds.

        What has an exact marginal is answered by it. The rest is drawn, and the table then has ArviZ's columns of
        Monte Carlo errors and diagnostics too: errors of 0, and no sample sizes, where a row is exact.

        Parameters
        ----------
        var_names : str or sequence of str, optional
            Latents and derived quantities; by default all.
        prob : float
            Probability inside the equal-tailed intervals.
        exact : bool
            Refuse, rather than draw, what has no exact marginal.
        tree : DataTree, optional
            Draws of what has none; by default ``sample(seed=seed)``, or less where cells are known to be alike.
        seed : int, optional
            Seed of these draws.

        Returns
        -------
        pandas.DataFrame
            Columns as in ``arviz.summary``. The index has the levels ``variable`` and the dims of the variables, NaN
            where a variable lacks a dim; of one variable, named by a string, its dims alone.

        Raises
        ------
        ModelError
            If a name is not a latent or a derived quantity.
        RefusedError
            With ``exact=True``, if a marginal is not exact; the message says why.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model(coords={"arm": ["A", "B"]})
        >>> y = m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(1, 1), dims="arm")), dims="arm")
        >>> table = m.condition({"y": [3, 5]}).to_dataframe("p")
        >>> table.round(3).to_dict("index")["B"]
        {'mean': 0.5, 'sd': 0.139, 'eti89_lb': 0.277, 'eti89_ub': 0.723}
        """
        from bayeskit.posterior.frames import Request, to_dataframe

        return to_dataframe(self, var_names, Request(prob, tree, exact, seed))

    # ---- further data -------------------------------------------------------------------------------------------
    def update(self, data: Any = None, **kwargs: Any) -> Posterior:
        """Return the posterior after further observations: the same as conditioning on all the data.

        Dims that latents bear match by label, and new labels make new entries of the latent; dims of data alone are
        appended. Columns that only bear dims of latents need not be given again. The data may be
        `SufficientStatistics` too.
        """
        given = read_batch(self.model, data, kwargs)
        if not is_summary(given) and not any(r.observed and r.name in given for r in self.model.random.values()):
            raise DataError("update must be given new observations. Got none of the model's observed variables.")
        return Posterior(self.model, given, before=self)

    @cached_property
    def statistics(self) -> SufficientStatistics:
        """The sufficient statistics of all the data so far."""
        return all_statistics(self._binding, self._problem.statistics)

    def remove(self, data: Any = None, **kwargs: Any) -> Posterior:
        """Return the posterior without some observations: ``statistics`` less those of the data given.

        Labels stay, though no row may be left that bears them. What asks about single rows is refused of the result.

        Raises
        ------
        RefusedError
            Where rows are seen never to have been there, or too many digits would be lost: see `SufficientStatistics`.
        """
        left = self.statistics - removed(self._binding, data, kwargs)
        return Posterior(self.model, left.as_given(self.model))

    def discount(self, w: float) -> Posterior:
        """Return the posterior in which all rows so far count ``w`` times; the priors count as before.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(1, 1))))
        >>> m.condition({"y": 7}).discount(0.5).update({"y": 4})["p"]
        Beta(8.5, 8.5)
        """
        return Posterior(self.model, (w * self.statistics).as_given(self.model))

    def predict(self, new_columns: Any = None, *, include_noise: bool = True, **columns: Any) -> Prediction:
        """Return the posterior predictive of the observed variables: distributions where exact, and draws.

        Parameters
        ----------
        new_columns : mapping, Dataset or table, optional
            New values of the columns the observations depend on; by default those conditioned on (replicated data).
            New labels of a latent's dim are new groups, known by their prior given the rest.
        include_noise : bool
            False predicts the expected value of the observations given the latents: the mean of a normal, the
            probability of a Bernoulli, the rate of a Poisson.

        Returns
        -------
        Prediction
            ``prediction["y"]`` is a distribution; ``sample``, ``summary``.
        """
        from bayeskit.posterior.prediction import Prediction

        return Prediction(self, new_columns, columns, include_noise=include_noise)

    def save(self, path: str | Path, *, draws: xr.DataTree | None = None) -> None:
        """Write the posterior to a file, from which ``bk.load`` makes it again; an older file is replaced.

        Model and data are stored, and everything follows from them: the loaded posterior gives the same answers, and
        for the same seed the same draws.

        Parameters
        ----------
        path : str or Path
            The file: ``.nc`` for netCDF (needs the extra ``io``), or ``.json``.
        draws : DataTree, optional
            Draws to keep in the same file; ``bk.load_draws(path)`` gives them back.

        Raises
        ------
        DataError
            Where the file has another ending, or netCDF cannot be written.
        RefusedError
            Where the model holds what no file can: a distribution or function of the user's own.
        """
        from bayeskit.posterior.saving import save

        save(self, path, draws)

    def __repr__(self) -> str:
        return f"Posterior of\n{self.model}\n{self.explain()}"


def condition(model: Model, data: Any = None, **kwargs: Any) -> Posterior:
    """Bind data to a model; ``Model.condition`` is this function."""
    return Posterior(model, read_batch(model, data, kwargs))
