"""Posterior: a model conditioned on data. It explains itself, answers in distributions, and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError, ImproperError, RefusedError
from bayeskit.inference.conjugacy import Refusal
from bayeskit.inference.explain import explain
from bayeskit.inference.options import StepOption
from bayeskit.inference.plan import Plan, make_plan
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import sample as run_plan
from bayeskit.model.binding import Binding, read
from bayeskit.model.problem import Problem
from bayeskit.model.reading import Given
from bayeskit.posterior.derived import exact_derived
from bayeskit.posterior.evidence import Evidence, log_evidence
from bayeskit.posterior.forward import exact_forward
from bayeskit.posterior.labels import wrapper
from bayeskit.posterior.predictive import predict
from bayeskit.posterior.tree import GROUPS, to_tree
from bayeskit.statistics.margins import by_margins
from bayeskit.statistics.reduction import Reduction

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeskit.distributions import Distribution
    from bayeskit.model import Model
    from bayeskit.posterior.laplace import Laplace
    from bayeskit.posterior.mode import Mode

Array = np.ndarray


class Posterior:
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
        self._problem: Problem = by_margins(self._reduction.problem)

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(self._problem)

    # ---- what is done, and why ----------------------------------------------------------------------------------
    def explain(self, *, method: str = "auto", steps: Mapping[str, StepOption] | None = None) -> str:
        """Return, for every variable, what is done to it and because of what."""
        return explain(self._choose(method, steps))

    def _choose(self, method: str, steps: Mapping[str, StepOption] | None) -> Plan:
        return self._plan if method == "auto" and not steps else make_plan(self._problem, method, steps)

    # ---- draws --------------------------------------------------------------------------------------------------
    def sample(
        self,
        draws: int = 1000,
        *,
        chains: int = 4,
        tune: int = 1000,
        seed: Seed = None,
        method: str = "auto",
        steps: Mapping[str, StepOption] | None = None,
        include: Sequence[str] = (),
        progress: bool | None = None,
    ) -> xr.DataTree:
        """Draw from the posterior: a DataTree in the ArviZ schema, whatever the method.

        Parameters
        ----------
        draws, chains, tune : int
            Retained draws a chain, chains, and tuning sweeps (exact draws need none).
        seed : int, optional
            The same seed gives the same draws.
        method : {"auto", "exact", "collapsed", "gibbs", "metropolis"}
            Force a rung; what cannot be honoured is refused with the reason.
        steps : mapping, optional
            From a latent to its step: ``{"tau": bk.Slice()}``.
        include : sequence of str
            Further groups: ``log_likelihood, log_prior, prior, posterior_predictive``.
        progress : bool, optional
            Show a bar; by default on runs over a second or two, on a terminal.

        Returns
        -------
        xarray.DataTree
            Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data`` and those asked for.
        """
        for value, name in ((draws, "draws"), (chains, "chains")):
            _check_count(value, name, least=1)
        _check_count(tune, "tune", least=0)
        include = (include,) if isinstance(include, str) else tuple(include)
        unknown = [g for g in include if g not in GROUPS]
        if unknown:
            raise RefusedError(f"include must name groups among {', '.join(GROUPS)}. Got {unknown[0]!r}.")
        plan = self._choose(method, steps)
        rng, seed_text = make_rng(seed)
        run = run_plan(plan, rng, draws=draws, tune=tune, chains=chains, progress=progress)
        attributes: dict[str, Any] = {"bayeskit_method": plan.method, "seed": seed_text, "explain": explain(plan)}
        attributes |= run.extra
        if not plan.steps:
            try:
                evidence = log_evidence(plan)
                attributes |= {"log_evidence": float(evidence), "log_evidence_se": evidence.se}
            except (ImproperError, RefusedError):
                pass
        return to_tree(plan, run, rng, include, attributes)

    def to_datatree(self, **options: Any) -> xr.DataTree:
        """Return ``sample(**options)``: what ArviZ functions ask for."""
        return self.sample(**options)

    # ---- exact answers ------------------------------------------------------------------------------------------
    def __getitem__(self, name: str) -> Distribution:
        """Return the exact marginal of a latent or of a derived quantity.

        Raises
        ------
        RefusedError
            Where it has no closed form; the message says why.
        """
        if name in self._problem.derived:
            return exact_derived(self._plan, name)
        if name not in self._problem.latents:
            raise RefusedError(
                f"'{name}' is not a latent of the posterior. Its latents are {list(self._problem.latents)}, "
                f"derived {list(self._problem.derived)}."
            )
        plan, wrap = self._plan, wrapper(self._problem, name)
        component = plan.component_of(name)
        if component is not None:
            return component.marginal(name, wrap)
        collapsed = plan.collapsed_of(name)
        if collapsed is not None:
            marginal = collapsed.marginal(name, wrap)
            if isinstance(marginal, Refusal):
                raise RefusedError(f"'{name}' has no exact marginal here: {marginal}. Use sample() or summary().")
            return marginal
        latent = self._problem.latents[name]
        if name in plan.forward and latent.prior.parents <= self._problem.env.keys():
            return _known_prior(self._problem, name)
        forward = exact_forward(plan, name) if name in plan.forward else None
        if forward is not None:
            return forward
        raise RefusedError(f"'{name}' has no exact marginal here ({plan.notes[name]}). Use sample() or summary().")

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
            Where a latent is discrete, or the density has no highest point: in hierarchies it often rises without end
            as a scale goes to zero.

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
        from bayeskit.posterior.summary import Figures, merged_summary

        exact: dict[str, Figures] = {}
        for name in [*self._problem.latents, *self._problem.derived]:
            try:
                exact[name] = Figures(self[name], prob)
            except RefusedError:
                continue
        names = [*self._problem.latents, *self._problem.derived]
        drawn = None
        if len(exact) < len(names):
            drawn = tree if tree is not None else self.sample(seed=seed)
        return merged_summary(exact, drawn, prob=prob, var_names=names)

    # ---- further data -------------------------------------------------------------------------------------------
    def update(self, data: Any = None, **kwargs: Any) -> Posterior:
        """Return the posterior after further observations: the same as conditioning on all the data.

        Dims that latents bear match by label, and new labels make new entries of the latent; dims of data alone are
        appended. Columns that only bear dims of latents need not be given again.
        """
        given = read(self.model, data, kwargs)
        if not any(r.observed and r.name in given for r in self.model.random.values()):
            raise DataError("update must be given new observations. Got none of the model's observed variables.")
        return Posterior(self.model, given, before=self)

    def predict(
        self, data: Any = None, *, draws: int = 1000, chains: int = 4, seed: Seed = None, **kwargs: Any
    ) -> xr.DataTree:
        """Draw from the posterior predictive distribution.

        Parameters
        ----------
        data : mapping, Dataset or table, optional
            New values of the columns the observations depend on; by default those conditioned on (replicated data).
            New labels of a latent's dim are new groups, drawn from their prior given the rest.

        Returns
        -------
        xarray.DataTree
            ``posterior`` and ``posterior_predictive`` (or, for new data, ``predictions``).
        """
        return predict(self, data, draws=draws, chains=chains, seed=seed, more=kwargs)

    def __repr__(self) -> str:
        return f"Posterior of\n{self.model}\n{self.explain()}"


def condition(model: Model, data: Any = None, **kwargs: Any) -> Posterior:
    """Bind data to a model; ``Model.condition`` is this function."""
    return Posterior(model, read(model, data, kwargs))


def _known_prior(problem: Problem, name: str) -> Distribution:
    """Return the prior of a latent whose parameters are known, labelled."""
    latent = problem.latents[name]
    wrap = wrapper(problem, name)
    factor = latent.prior
    values: dict[str, Any] = {}
    for parameter, array in zip(factor.distribution.parameters, factor.parameter_arrays(problem.env), strict=True):
        raw = np.asarray(array)[0]
        if parameter.event_ndim == 0:
            values[parameter.name] = wrap(np.broadcast_to(raw, factor.shape))
        elif parameter.axis is not None:
            values[parameter.name] = wrap(np.broadcast_to(raw, (*factor.shape, *raw.shape[-2:])), axis=parameter.axis)
        elif parameter.event_ndim == 2 and len(factor.event) == 1:
            values[parameter.name] = wrap(np.broadcast_to(raw, (*factor.shape, *raw.shape[-2:])), matrix=True)
        elif not factor.event:
            values[parameter.name] = wrap(np.broadcast_to(raw, (*factor.shape, raw.shape[-1])), category=True)
        else:
            values[parameter.name] = wrap(np.broadcast_to(raw, latent.shape))
    if not factor.distribution.parameters:
        return factor.distribution
    return factor.distribution._with(**values)


def _check_count(value: object, name: str, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise RefusedError(f"{name} must be a whole number of at least {least}. Got {value!r}.")
