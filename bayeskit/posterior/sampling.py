"""How a Posterior draws: a plan is chosen and run, and what it drew is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ImproperError, RefusedError
from bayeskit.inference.explain import explain
from bayeskit.inference.options import StepOption
from bayeskit.inference.plan import Plan, make_plan
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.inference.sweep import Draws
from bayeskit.inference.sweep import sample as run_plan
from bayeskit.model.problem import Problem
from bayeskit.posterior.evidence import log_evidence
from bayeskit.posterior.tree import GROUPS, derived_draws, to_tree
from bayeskit.statistics.sufficient import must_have_rows

if TYPE_CHECKING:
    import xarray as xr


class Sampling:
    """What ``Posterior`` inherits to draw."""

    _plan: Any  # what Posterior has
    _problem: Problem

    def _choose(self, method: str, steps: Mapping[str, StepOption] | None) -> Plan:
        """Return the plan of the posterior, or another one where the user asks for it."""
        return self._plan if method == "auto" and not steps else make_plan(self._problem, method, steps)

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
        include = (include,) if isinstance(include, str) else tuple(include)
        unknown = [g for g in include if g not in GROUPS]
        if unknown:
            raise RefusedError(f"include must name groups among {', '.join(GROUPS)}. Got {unknown[0]!r}.")
        for group in sorted({"log_likelihood", "posterior_predictive"} & set(include)):
            must_have_rows(self._problem, f"The group '{group}'")
        rng, seed_text = make_rng(seed)
        plan, run = self._run(rng, method, steps, draws=draws, tune=tune, chains=chains, progress=progress)
        attributes: dict[str, Any] = {"bayeskit_method": plan.method, "seed": seed_text, "explain": explain(plan)}
        attributes |= run.extra
        if not plan.steps:
            try:
                evidence = log_evidence(plan)
                attributes |= {"log_evidence": float(evidence), "log_evidence_se": evidence.se}
            except (ImproperError, RefusedError):
                pass
        return to_tree(plan, run, rng, include, attributes)

    def sample_arrays(
        self,
        draws: int = 1000,
        *,
        chains: int = 4,
        tune: int = 1000,
        seed: Seed = None,
        method: str = "auto",
        steps: Mapping[str, StepOption] | None = None,
        progress: bool | None = None,
    ) -> dict[str, np.ndarray]:
        """Draw from the posterior: plain arrays, without labels and diagnostics.

        The numbers are those of `sample` with the same arguments. What takes long in a fresh process is to import
        xarray and pandas, and this does without them.

        Parameters
        ----------
        draws, chains, tune, seed, method, steps, progress
            As in `sample`.

        Returns
        -------
        dict of {str: array}
            The latents and the derived quantities, ``(chains, draws, *dims)``, dims in the order in which each was
            declared.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> p = m.latent("p", bk.Beta(1, 1))
        >>> _ = m.observed("y", bk.Binomial(10, p))
        >>> m.condition({"y": 7}).sample_arrays(500, seed=1)["p"].shape
        (4, 500)
        """
        rng, _ = make_rng(seed)
        plan, run = self._run(rng, method, steps, draws=draws, tune=tune, chains=chains, progress=progress)
        derived = derived_draws(plan.problem, run.latents)
        return {**run.latents, **{n: values for n, (_, values) in derived.items()}}

    def _run(
        self,
        rng: np.random.Generator,
        method: str,
        steps: Mapping[str, StepOption] | None,
        *,
        draws: int,
        tune: int,
        chains: int,
        progress: bool | None,
    ) -> tuple[Plan, Draws]:
        """Choose a plan and run it."""
        for value, name in ((draws, "draws"), (chains, "chains")):
            _check_count(value, name, least=1)
        _check_count(tune, "tune", least=0)
        plan = self._choose(method, steps)
        return plan, run_plan(plan, rng, draws=draws, tune=tune, chains=chains, progress=progress)

    def to_datatree(self, **options: Any) -> xr.DataTree:
        """Return ``sample(**options)``: what ArviZ functions ask for."""
        return self.sample(**options)


def _check_count(value: object, name: str, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise RefusedError(f"{name} must be a whole number of at least {least}. Got {value!r}.")
