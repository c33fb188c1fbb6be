r"""Posterior predictive checks: a statistic of the data against its distribution over replicated data.

.. math:: p = \Pr\bigl(T(y^{\mathrm{rep}}) \ge T(y) \mid y\bigr)

Source: Gelman, Meng and Stern (1996), Statistica Sinica 6, 733-807; Gelman et al. (2013), Bayesian Data Analysis,
sec. 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.model.problem import Problem
from bayeskit.posterior.checks.rows import By, Groups, group_rows

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Statistic = str | Callable[..., Any]
SAMPLE = ("chain", "draw")


def _mean(values: Array, starts: Array, counts: Array) -> Array:
    return np.add.reduceat(values, starts, axis=-1) / counts


def _sd(values: Array, starts: Array, counts: Array) -> Array:
    centred = values - np.repeat(_mean(values, starts, counts), counts, axis=-1)
    with np.errstate(all="ignore"):
        return np.sqrt(np.add.reduceat(centred**2, starts, axis=-1) / (counts - 1))


# From values sorted by group along the last axis, where the groups start, and how many they are.
NAMED: Mapping[str, Callable[[Array, Array, Array], Array]] = {
    "mean": _mean,
    "sd": _sd,
    "min": lambda values, starts, counts: np.minimum.reduceat(values, starts, axis=-1),
    "max": lambda values, starts, counts: np.maximum.reduceat(values, starts, axis=-1),
}


@dataclass(frozen=True, eq=False, repr=False)
class PredictiveCheck:
    """A statistic of the data, and of replicated data.

    Attributes
    ----------
    observed : xarray.DataArray
        The statistic of the data; over the groups, and over ``statistic`` where several were asked for.
    replicated : xarray.DataArray
        The statistic of every replication: the same with ``chain`` and ``draw``.
    p_value : xarray.DataArray
        The share of replications whose statistic is at least that of the data. Near 0 or 1 the model does not produce
        such data; it is not uniform under a true model, but gathers about a half.
    mcse : xarray.DataArray
        Its Monte Carlo error.
    tree : xarray.DataTree
        The draws, with the groups ``posterior_predictive`` and ``observed_data`` that ``arviz.plot_ppc_dist`` and its
        like ask for.
    """

    observed: xr.DataArray
    replicated: xr.DataArray
    p_value: xr.DataArray
    mcse: xr.DataArray
    tree: xr.DataTree

    def __repr__(self) -> str:
        import xarray as xr

        table = xr.Dataset({"observed": self.observed, "p_value": self.p_value, "mcse": self.mcse})
        count = self.replicated.sizes["chain"] * self.replicated.sizes["draw"]
        if not self.observed.dims:
            row = "  ".join(f"{n} {float(v):.4g}" for n, v in table.items())
            return f"posterior predictive check, {count} replications: {row}"
        return f"posterior predictive check, {count} replications\n{table.to_dataframe().round(4)}"


def check(
    problem: Problem, tree: xr.DataTree, statistic: Statistic | Sequence[Statistic], by: By, var_name: str | None
) -> PredictiveCheck:
    """Compare a statistic of data and replicated data; ``Posterior.ppc`` is this function."""
    import xarray as xr

    statistics = [statistic] if isinstance(statistic, str) or callable(statistic) else list(statistic)
    _check_statistics(statistics)
    groups = group_rows(problem, by, _one_variable(problem, var_name), whole=True)
    name = groups.targets[0].factor.name
    if "posterior_predictive" not in tree or name not in tree["posterior_predictive"]:
        raise DataError(
            f"tree must hold replicated data of '{name}' in its group posterior_predictive. Got the groups "
            f"{list(tree.children)}. Draw it with sample(include='posterior_predictive'), or leave tree out."
        )
    y, rep = tree["observed_data"].dataset[name], tree["posterior_predictive"].dataset[name]
    data = [y.expand_dims(dict.fromkeys(SAMPLE, 1)), rep]
    found = [[_apply(s, values, y, groups) for s in statistics] for values in data]
    if isinstance(statistic, str) or callable(statistic):
        observed, replicated = found[0][0], found[1][0]
    else:
        labels = xr.DataArray([_name(s) for s in statistics], dims="statistic", name="statistic")
        observed, replicated = (xr.concat(f, dim=labels, coords="minimal", compat="override") for f in found)
    own = [d for d in replicated.dims if d not in (*SAMPLE, "statistic")]
    replicated = replicated.transpose(*SAMPLE, *own, ...)
    observed = observed.isel(dict.fromkeys(SAMPLE, 0), drop=True).transpose(*replicated.dims[2:])
    p_value, mcse = _shares(replicated, observed)
    return PredictiveCheck(observed, replicated, p_value, mcse, tree)


def _one_variable(problem: Problem, var_name: str | None) -> str | None:
    observed = [n for n, r in problem.model.random.items() if r.observed]
    if var_name is None and len(observed) > 1:
        raise RefusedError(
            f"The model observes {', '.join(map(repr, observed))}: of which a statistic is taken must be said. Got no "
            f"var_name. Give var_name='{observed[0]}'."
        )
    return var_name


def _check_statistics(statistics: list[Statistic]) -> None:
    if not statistics:
        raise DataError("statistic must be a name, a function, or some of them. Got none.")
    for s in statistics:
        if not callable(s) and s not in NAMED:
            raise DataError(
                f"statistic must be one of {', '.join(map(repr, NAMED))}, or a function of a DataArray. Got {s!r}. "
                "Give a function that keeps the dims chain and draw: lambda y: y.quantile(0.9, ...)."
            )


def _name(statistic: Statistic) -> str:
    return statistic if isinstance(statistic, str) else getattr(statistic, "__name__", "statistic")


def _apply(statistic: Statistic, values: xr.DataArray, y: xr.DataArray, groups: Groups) -> xr.DataArray:
    """Return a statistic of data with chain and draw in front, group by group; open entries are left out."""
    import xarray as xr

    if callable(statistic) and not groups.names:
        return _called(statistic, values.where(y.notnull()) if bool(y.isnull().any()) else values)
    codes = groups.over_rows(np.arange(groups.count)) if groups.names else xr.zeros_like(y, dtype=np.int64)
    rows = [d for d in values.dims if d not in SAMPLE]
    flat = values.transpose(*SAMPLE, *rows).values
    flat = flat.reshape(*flat.shape[:2], -1)
    laid = codes.reset_coords(drop=True).drop_vars(list(codes.coords)).broadcast_like(y.drop_vars(list(y.coords)))
    group = laid.transpose(*rows).values.reshape(-1)
    kept = np.flatnonzero(y.notnull().transpose(*rows).values.reshape(-1))
    order = kept[np.argsort(group[kept], kind="stable")]
    present, starts, counts = np.unique(group[order], return_index=True, return_counts=True)
    if callable(statistic):
        parts = [
            _called(statistic, xr.DataArray(flat[..., order[s : s + n]], dims=(*SAMPLE, "row")))
            for s, n in zip(starts, counts, strict=True)
        ]
        found = np.stack([p.transpose(*SAMPLE).values for p in parts], axis=-1)
    else:
        found = NAMED[statistic](flat[..., order], starts, counts)
    if not groups.names:
        return xr.DataArray(found[..., 0], dims=SAMPLE)
    labels = groups.labelled(np.zeros(groups.count))
    labels = labels.isel(dict.fromkeys(labels.dims, present))
    return xr.DataArray(found, dims=(*SAMPLE, *labels.dims), coords=dict(labels.coords))


def _called(statistic: Callable[..., Any], values: xr.DataArray) -> xr.DataArray:
    """Return what a function makes of data with chain and draw."""
    import xarray as xr

    found = statistic(values)
    if not isinstance(found, xr.DataArray) or not set(SAMPLE) <= set(found.dims):
        got = f"dims {found.dims}" if isinstance(found, xr.DataArray) else f"a {type(found).__name__}"
        raise DataError(
            f"The statistic {_name(statistic)} must return a DataArray that keeps the dims chain and draw. Got {got}. "
            "Reduce over the other dims by name: y.max([d for d in y.dims if d not in ('chain', 'draw')])."
        )
    return found.drop_vars([c for c in found.coords if c not in found.dims or c in SAMPLE])


def _shares(replicated: xr.DataArray, observed: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return how often replications are at least as large, and the error of that."""
    from arviz_stats.base.array import array_stats

    larger = (replicated >= observed).astype(float)
    undefined = replicated.isnull().any(SAMPLE) | observed.isnull()
    p = larger.mean(SAMPLE).where(~undefined)
    values = larger.transpose(..., *SAMPLE).values
    count = values.shape[-1] * values.shape[-2]
    flat = values.reshape(-1, *values.shape[-2:])
    ess = np.full(len(flat), float(count))
    moving = np.ptp(flat.reshape(len(flat), -1), axis=1) > 0
    if moving.any() and values.shape[-1] >= 4:
        ess[moving] = np.minimum(array_stats.ess(flat[moving], method="mean"), count)
    share = p.transpose(*observed.dims).values.reshape(-1)
    near = (share * ess + 0.5) / (ess + 1.0)  # away from 0 and 1, where the error would seem to be none
    return p, observed.copy(data=np.sqrt(near * (1 - near) / ess).reshape(observed.shape)).where(~undefined)
