"""The checks a posterior answers: rows left out or foretold, replicated data, sensitivity to the prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayeskit.inference.seeding import Seed

if TYPE_CHECKING:
    import xarray as xr

    from bayeskit.posterior.checks.leave_out import LeaveOut
    from bayeskit.posterior.checks.prequential import Prequential
    from bayeskit.posterior.checks.replicated import PredictiveCheck, Statistic
    from bayeskit.posterior.checks.rows import By
    from bayeskit.posterior.checks.sensitivity import Sensitivity


class Checks:
    """What ``Posterior`` inherits: each check is a module of its own, imported when it is asked for."""

    _binding: Any  # what Posterior has
    _plan: Any
    _problem: Any
    sample: Any

    def loo(
        self,
        by: By = None,
        *,
        var_name: str | None = None,
        draws: int = 1000,
        chains: int = 4,
        seed: Seed = None,
    ) -> LeaveOut:
        r"""Return the log predictive density of every row, or group of rows, from all the others.

        .. math:: \log p(y_g \mid y_{-g}) = \log \int p(y_g \mid \theta) p(\theta \mid y_{-g}) d\theta

        Rows are taken out of the posterior, not refitted: exactly where it is known in closed form, by enumeration or
        by quadrature of a core of one number; where the core is sampled, by Pareto-smoothed importance sampling over
        its draws with the rest integrated, and ``exact`` says so.

        Parameters
        ----------
        by : str or sequence of str, optional
            A dim of the observations or a column along them (or several): rows with one label are left out together.
            By default every row on its own.
        var_name : str, optional
            Which observed variable, where the model has several; with ``by``, the default is all of them.
        draws, chains, seed
            Of the draws, where they are needed.

        Returns
        -------
        LeaveOut
            ``elpd``, ``se``, ``p_loo``, ``pointwise``, ``exact``, ``pareto_k``, ``mcse`` and ``to_arviz()``.

        Raises
        ------
        RefusedError
            Where rows have no density of their own, or others are conditioned on them.
        DataError
            Where ``by`` is no dim or column of the rows.

        References
        ----------
        Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation and
        WAIC, Statistics and Computing 27, eq. 4.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(1, 1))), dims="throw")
        >>> loo = m.condition({"y": [1, 1, 0, 1]}).loo()
        >>> loo.pointwise.round(4).values  # a success has probability 3/5 given the others, the failure 1/5
        array([-0.5108, -0.5108, -1.6094, -0.5108])
        >>> loo.exact
        True
        """
        from bayeskit.posterior.checks.leave_out import leave_out
        from bayeskit.statistics.sufficient import must_have_rows

        must_have_rows(self._problem, "Scores of rows")
        return leave_out(self._plan, self._binding.problem, by, var_name, draws=draws, chains=chains, seed=seed)

    def prequential(
        self, by: By = None, *, order: Sequence[int] | None = None, var_name: str | None = None
    ) -> Prequential:
        r"""Return the log predictive density of every row, or block of rows, from those before it.

        .. math:: \log p(y_t \mid y_1, \dots, y_{t-1}), \qquad \sum_t \log p(y_t \mid y_{<t}) = \log p(y)

        Parameters
        ----------
        by : str or sequence of str, optional
            A dim of the observations or a column along them: rows with one label are one block, in the order of the
            labels. By default every row is its own.
        order : sequence of int, optional
            The places of the rows (or blocks) in the order in which they came; by default as they stand.
        var_name : str, optional
            Which observed variable, where the model has several: the others are known from the start.

        Returns
        -------
        Prequential
            ``pointwise``, ``total`` and ``order``.

        Raises
        ------
        RefusedError
            Where the core is sampled.

        References
        ----------
        Dawid (1984), Statistical theory: the prequential approach, JRSS A 147, 278-292.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Bernoulli(m.latent("p", bk.Beta(1, 1))), dims="throw")
        >>> posterior = m.condition({"y": [1, 1, 0, 1]})
        >>> posterior.prequential().pointwise.round(4).values  # 1/2, 2/3, 1/4, 3/5
        array([-0.6931, -0.4055, -1.3863, -0.5108])
        >>> abs(posterior.prequential().total - posterior.log_evidence()) < 1e-10
        True
        """
        from bayeskit.posterior.checks.prequential import prequential
        from bayeskit.statistics.sufficient import must_have_rows

        must_have_rows(self._problem, "Scores of rows")
        return prequential(self._plan, self._binding.problem, by, var_name, order)

    def ppc(
        self,
        statistic: Statistic | Sequence[Statistic],
        by: By = None,
        *,
        var_name: str | None = None,
        tree: xr.DataTree | None = None,
        draws: int = 1000,
        chains: int = 4,
        seed: Seed = None,
    ) -> PredictiveCheck:
        r"""Return a posterior predictive check: how often replicated data have a larger statistic than the data.

        .. math:: p = \Pr\bigl(T(y^{\mathrm{rep}}) \ge T(y) \mid y\bigr)

        Parameters
        ----------
        statistic : str, callable, or several of them
            ``"mean"``, ``"sd"``, ``"min"``, ``"max"``, or a function of a DataArray with the dims chain and draw, which
            it keeps. By groups the rows of one group come to it over the dim ``row``.
        by : str or sequence of str, optional
            A dim of the observations or a column along them: the statistic of each group.
        var_name : str, optional
            Which observed variable, where the model has several.
        tree : DataTree, optional
            Draws with the group ``posterior_predictive``; by default ``sample(draws, chains=, seed=)``.

        Returns
        -------
        PredictiveCheck
            ``p_value``, ``mcse``, ``observed``, ``replicated`` and ``tree``, which ``arviz.plot_ppc_dist`` understands.

        References
        ----------
        Gelman et al. (2013), Bayesian Data Analysis, sec. 6.3.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Poisson(m.latent("rate", bk.Gamma(1, 1))), dims="day")
        >>> check = m.condition({"y": [0, 0, 1, 14, 0, 1]}).ppc("max", seed=1)
        >>> bool(check.p_value < 0.01)  # one day stands out
        True
        """
        from bayeskit.posterior.checks.replicated import check
        from bayeskit.statistics.sufficient import must_have_rows

        must_have_rows(self._problem, "A check of replicated data")
        if tree is None:
            tree = self.sample(draws, chains=chains, seed=seed, include="posterior_predictive")
        return check(self._binding.problem, tree, statistic, by, var_name)

    def sensitivity(
        self, var_names: Sequence[str] | None = None, *, prior: Sequence[str] | None = None, step: float = 0.01
    ) -> Sensitivity:
        r"""Return how the exact marginals move when the prior, or the likelihood, is given more or less weight.

        .. math:: p_a(\theta \mid y) \propto p(\theta)^a p(y \mid \theta)
                  \quad\text{or}\quad p(\theta) p(y \mid \theta)^a

        For draws there is ``arviz.psense_summary`` on ``sample(include=("log_prior", "log_likelihood"))``.

        Parameters
        ----------
        var_names : sequence of str, optional
            The latents to look at; by default all that have an exact marginal.
        prior : sequence of str, optional
            Whose priors are scaled; by default those of all latents whose priors have known parameters: in a hierarchy
            the top.
        step : float
            How far from one the powers are, to both sides.

        Returns
        -------
        Sensitivity
            ``cjs``, ``mean``, ``sd`` and ``summary()``.

        Raises
        ------
        RefusedError
            Where no marginal is exact, or a prior to a power is of no known family.

        References
        ----------
        Kallioinen et al. (2024), Detecting and diagnosing prior and likelihood sensitivity with power-scaling,
        Statistics and Computing 34, 57.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 1)), 1))
        >>> m.condition({"y": 6.0}).sensitivity().summary()["diagnosis"].item()
        'potential prior-data conflict'
        """
        from bayeskit.posterior.checks.sensitivity import sensitivity

        return sensitivity(self._plan, var_names, prior, step)
