r"""Sensitivity of the posterior to prior and likelihood, by power-scaling.

The prior (or the likelihood) is raised to a power :math:`a` near one,
:math:`p_a(\theta \mid y) \propto p(\theta)^a p(y \mid \theta)`, and the posterior of every latent compared with its
own at :math:`a = 1`: means and standard deviations by their derivatives with respect to :math:`\log_2 a`, and whole
distributions by the cumulative Jensen-Shannon distance

.. math:: \mathrm{CJS}(P, Q) = \int P \log_2 \frac{2P}{P + Q}\, dx + \frac{1}{2 \ln 2} \int (Q - P)\, dx,
          \qquad d = \sqrt{\frac{\mathrm{CJS}(P, Q) + \mathrm{CJS}(Q, P)}{\int (P + Q)\, dx}},

per unit of :math:`\log_2 a`, the larger of that for x and for -x.
Source: Kallioinen et al. (2024), Statistics and Computing 34, 57, eq. 5 to 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.inference.plan import Plan, make_plan
from bayeskit.model.problem import Problem
from bayeskit.posterior.checks.powers import powered_prior

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeskit.distributions import Distribution

Array = np.ndarray
COMPONENTS = ("prior", "likelihood")
CONFLICT, STRONG = "potential prior-data conflict", "potential strong prior / weak likelihood"
_POINTS = 2001
_DRAWS = 4000  # of so many draws the range is that over which distributions are compared


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """How much the posterior of each latent moves with the prior and with the likelihood.

    Attributes
    ----------
    cjs : xarray.Dataset
        Cumulative Jensen-Shannon distance per unit of log2 of the power, over ``component`` (prior, likelihood) and
        the dims of each latent.
    mean, sd : xarray.Dataset
        Derivatives of posterior mean and sd with respect to log2 of the power: what doubling the weight of the prior
        (or of all data) would change, to first order.
    scaled : tuple of str
        The priors that were scaled.
    """

    cjs: xr.Dataset
    mean: xr.Dataset
    sd: xr.Dataset
    scaled: tuple[str, ...]

    def summary(self, threshold: float = 0.05) -> pd.DataFrame:
        """Return a row for every number, with the diagnosis of ``arviz.psense_summary``.

        Parameters
        ----------
        threshold : float
            From which distance on a posterior is sensitive.
        """
        import pandas as pd

        from bayeskit.posterior.summary import row_labels

        index: list[str] = []
        columns: dict[str, list[Array]] = {}
        for name in self.cjs:
            first = self.cjs[name].sel(component="prior")
            index += row_labels(str(name), first)
            for c in COMPONENTS:
                for column, data in ((c, self.cjs), (f"mean_by_{c}", self.mean), (f"sd_by_{c}", self.sd)):
                    columns.setdefault(column, []).append(data[name].sel(component=c).values.reshape(-1))
        table = pd.DataFrame({n: np.concatenate(v) for n, v in columns.items()}, index=index)
        prior, likelihood = table["prior"] >= threshold, table["likelihood"] >= threshold
        table["diagnosis"] = np.select([prior & likelihood, prior], [CONFLICT, STRONG], "✓")
        return table[["prior", "likelihood", "diagnosis", *(n for n in table if "_by_" in str(n))]]

    def __repr__(self) -> str:
        priors = ", ".join(f"'{n}'" for n in self.scaled)
        table = self.summary()[[*COMPONENTS, "diagnosis"]].round(3)
        return f"power-scaling sensitivity, exact (priors of {priors})\n{table.to_string()}"


def sensitivity(plan: Plan, var_names: Sequence[str] | None, prior: Sequence[str] | None, step: float) -> Sensitivity:
    """Return the sensitivity of every exact marginal; ``Posterior.sensitivity`` is this function."""
    import xarray as xr

    problem = plan.problem
    if not 0 < step <= 0.5:
        raise DataError(f"step must lie between 0 and 0.5. Got {step!r}. The field's is 0.01.")
    scaled = _scaled(problem, prior)
    whole = _marginals(plan, var_names)
    names = list(whole)
    powers = (1.0 - step, 1.0 + step)
    found: dict[str, dict[str, list[Any]]] = {kind: {n: [] for n in names} for kind in ("cjs", "mean", "sd")}
    for component in COMPONENTS:
        others = [_marginals(make_plan(_powered(problem, component, scaled, a)), names) for a in powers]
        for name in names:
            cjs, mean, sd = _compare(whole[name], [o[name] for o in others], powers)
            found["cjs"][name].append(cjs)
            found["mean"][name].append(mean)
            found["sd"][name].append(sd)
    labels = xr.DataArray(list(COMPONENTS), dims="component", name="component")
    sets = {
        kind: xr.Dataset({n: xr.concat([xr.DataArray(v) for v in values], dim=labels) for n, values in by_name.items()})
        for kind, by_name in found.items()
    }
    return Sensitivity(sets["cjs"], sets["mean"], sets["sd"], tuple(scaled))


def _marginals(plan: Plan, names: Sequence[str] | None) -> dict[str, Distribution]:
    """Return the exact marginals of latents; by default of all that have one."""
    from bayeskit.posterior.marginals import exact_marginal

    latents = [n for n, e in plan.problem.latents.items() if e.missing_from is None]
    if names is None:
        found = {}
        for name in latents:
            try:
                found[name] = exact_marginal(plan, name)
            except RefusedError as error:
                last = error
        if not found:
            raise RefusedError(
                f"No latent has an exact marginal to be compared. {last} Use arviz.psense_summary on draws with "
                "include=('log_prior', 'log_likelihood')."
            )
        return found
    names = [names] if isinstance(names, str) else list(names)
    unknown = [n for n in names if n not in latents]
    if unknown or not names:
        raise DataError(f"var_names must name latents, which are {latents}. Got {unknown or 'none'}.")
    return {n: exact_marginal(plan, n) for n in names}


def _scaled(problem: Problem, prior: Sequence[str] | None) -> list[str]:
    """Return the latents whose priors are scaled: those at the top, whose parameters are known."""
    known = problem.env.keys()
    top = [n for n, e in problem.latents.items() if e.missing_from is None and e.prior.parents <= known]
    names = top if prior is None else [prior] if isinstance(prior, str) else list(prior)
    wrong = [n for n in names if n not in top]
    if wrong or not names:
        raise DataError(
            f"prior must name latents at the top of the model, whose priors have known parameters: {top}. Got "
            f"{wrong or 'none'}. What hangs below them is scaled through them."
        )
    return names


def _powered(problem: Problem, component: str, scaled: Sequence[str], a: float) -> Problem:
    """Return the problem with its priors, or its likelihood, to a power."""
    if component == "prior":
        new = {n: powered_prior(problem.latents[n].prior, problem.env, a) for n in scaled}
        swap = {id(problem.latents[n].prior): f for n, f in new.items()}
        latents = {n: replace(e, prior=new[n]) if n in new else e for n, e in problem.latents.items()}
        return replace(problem, latents=latents, factors=tuple(swap.get(id(f), f) for f in problem.factors))
    priors = {id(e.prior) for e in problem.latents.values()}
    factors = tuple(
        f if id(f) in priors else replace(f, weight=a * (np.ones(f.shape) if f.weight is None else f.weight))
        for f in problem.factors
    )
    return replace(problem, factors=factors)


def _compare(whole: Distribution, scaled: Sequence[Distribution], powers: tuple[float, float]) -> tuple[Any, Any, Any]:
    """Return the distance, and the derivatives of mean and sd, for one latent."""
    import xarray as xr

    span = np.log2(powers[1]) - np.log2(powers[0])
    mean, sd = ((getattr(scaled[1], f)() - getattr(scaled[0], f)()) / span for f in ("mean", "sd"))
    x = _grid(whole)
    P = xr.DataArray(whole.cdf(x))
    distances = [_distance(P, xr.DataArray(other.cdf(x)), x) for other in scaled]
    cjs = 0.5 * (distances[0] / -np.log2(powers[0]) + distances[1] / np.log2(powers[1]))
    return cjs, xr.DataArray(mean), xr.DataArray(sd)


def _grid(whole: Distribution) -> xr.DataArray:
    """Return points over the range that draws would span, over the dim ``point``."""
    import xarray as xr

    tail = 1.0 / (_DRAWS + 1)
    ends = whole.quantile([tail, 1.0 - tail])
    low, high = ends.isel(quantile=0, drop=True), ends.isel(quantile=1, drop=True)
    if getattr(whole, "discrete", False):
        steps = np.arange(float(np.floor(low.min())), float(np.ceil(high.max())) + 1)
        return 0 * low + xr.DataArray(steps, dims="point")
    return low + (high - low) * xr.DataArray(np.linspace(0.0, 1.0, _POINTS), dims="point")


def _distance(P: xr.DataArray, Q: xr.DataArray, x: xr.DataArray) -> xr.DataArray:
    """Return the larger of the distances for x and for -x."""
    import xarray as xr

    found = [_one_sided(*(v.transpose(..., "point").values for v in pair)) for pair in ((P, Q, x), (1 - P, 1 - Q, x))]
    rest = P.isel(point=0, drop=True)
    return xr.DataArray(np.maximum(*found).reshape(rest.shape), dims=rest.dims, coords=rest.coords)


def _one_sided(P: Array, Q: Array, x: Array) -> Array:
    middle = 0.5 * (P + Q)
    with np.errstate(all="ignore"):
        terms = [np.where(F > 0, F * np.log2(F / middle), 0.0) for F in (P, Q)]
    # the linear parts of the two directions cancel in their sum
    both = np.trapezoid(terms[0] + terms[1], x, axis=-1)
    bound = np.trapezoid(P + Q, x, axis=-1)
    return np.sqrt(np.maximum(both, 0.0) / bound)
