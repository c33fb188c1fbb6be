"""Summary tables with ArviZ's column names and row labels, of exact marginals as well as of draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bayeskit.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "Marginal",
    "drawn_figures",
    "exact_figures",
    "exact_summary",
    "figure_names",
    "merged_summary",
    "row_labels",
    "sampled_summary",
    "wide_table",
    "with_diagnostics",
]

_DIAGNOSTICS = ("ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd")


class Marginal(Protocol):
    """What a summary asks of an exact marginal: three questions, answered in DataArrays with the variable's dims."""

    def mean(self) -> xr.DataArray:
        """Means."""

    def sd(self) -> xr.DataArray:
        """Standard deviations."""

    def eti(self, prob: float) -> xr.DataArray:
        """Equal-tailed intervals; the last dim is ``ci_bound``, lower before upper."""


def figure_names(prob: float) -> list[str]:
    """Return ArviZ's names of mean, standard deviation and the ends of the equal-tailed interval.

    Examples
    --------
    >>> figure_names(0.89)
    ['mean', 'sd', 'eti89_lb', 'eti89_ub']
    """
    percent = int(prob * 100)  # not round(): ArviZ truncates, and the names must agree
    return ["mean", "sd", f"eti{percent}_lb", f"eti{percent}_ub"]


def exact_figures(marginal: Marginal, prob: float) -> xr.DataArray:
    """Return the figures of an exact marginal along the first dim ``summary``, as ``arviz.summary(fmt="xarray")`` does.

    Raises
    ------
    RefusedError
        Where it has one of them in no closed form.
    """
    import xarray as xr

    mean, interval = marginal.mean(), marginal.eti(prob)
    bounds = (interval.isel(ci_bound=bound, drop=True) for bound in (0, 1))
    answers = xr.broadcast(mean, marginal.sd(), *bounds)
    dims = answers[0].dims
    values = np.stack([np.asarray(answer.transpose(*dims), dtype=np.float64) for answer in answers])
    coords = {"summary": figure_names(prob), **answers[0].coords}
    return xr.DataArray(values, dims=("summary", *dims), coords=coords)


def drawn_figures(draws: xr.Dataset, prob: float) -> dict[str, xr.DataArray]:
    """Return what ``arviz.summary`` says of draws, Monte Carlo errors included, along the first dim ``summary``."""
    from arviz_stats.summary import summary

    found = summary(draws, ci_prob=prob, ci_kind="eti", fmt="xarray", round_to="none")
    return {str(name): figures.transpose("summary", ...) for name, figures in found.data_vars.items()}


def with_diagnostics(figures: xr.DataArray) -> xr.DataArray:
    """Return exact figures with what only draws have: Monte Carlo errors of 0, no sample sizes and no R-hat."""
    if _DIAGNOSTICS[0] in figures["summary"].values:
        return figures
    more = figures.reindex(summary=[*figures["summary"].values, *_DIAGNOSTICS])
    more.loc[{"summary": ["mcse_mean", "mcse_sd"]}] = 0.0
    return more


def wide_table(figures: Mapping[str, xr.DataArray]) -> pd.DataFrame:
    """Return figures as ``arviz.summary`` lays them out: one row per entry of each variable, last dim fastest."""
    import pandas as pd

    first = next(iter(figures.values()))
    columns = [f.values.reshape(f.sizes["summary"], -1) for f in figures.values()]
    labels = [label for name, f in figures.items() for label in row_labels(name, f.isel(summary=0, drop=True))]
    names = first["summary"].values.tolist()
    data = {name: np.concatenate([c[i] for c in columns]) for i, name in enumerate(names)}
    return pd.DataFrame(data, index=pd.Index(labels, dtype=str))


def exact_summary(distributions: Mapping[str, Marginal], prob: float = 0.89) -> pd.DataFrame:
    """Summary of exact marginals: no draws, hence no Monte Carlo error and no diagnostics.

    The columns are those of ``arviz.summary(kind="stats")``, the rows are in the order and with the labels ArviZ gives
    them, so frames of either kind can be compared and stacked. There are no columns for Monte Carlo errors, effective
    sample sizes and R-hat, because nothing was sampled. A million rows take a few seconds.

    Parameters
    ----------
    distributions : mapping of {name: distribution}
        Labelled distributions, as ``posterior["name"]`` gives them.
    prob : float
        Probability inside the equal-tailed interval.

    Returns
    -------
    pandas.DataFrame
        Columns ``mean``, ``sd``, ``eti89_lb`` and ``eti89_ub`` (the number is ``int(100 * prob)``, as ArviZ writes it);
        float64; one row per entry of each variable, last dim fastest.

    Examples
    --------
    >>> import xarray as xr
    >>> class Standard:
    ...     def mean(self): return xr.DataArray([0.0, 0.0], coords={"arm": ["A", "B"]})
    ...     def sd(self): return self.mean() + 1.0
    ...     def eti(self, prob): return self.mean() + xr.DataArray([-1.6, 1.6], dims="ci_bound")
    >>> exact_summary({"mu": Standard()})
           mean   sd  eti89_lb  eti89_ub
    mu[A]   0.0  1.0      -1.6       1.6
    mu[B]   0.0  1.0      -1.6       1.6
    """
    import pandas as pd

    if not distributions:
        return pd.DataFrame({name: np.empty(0) for name in figure_names(prob)}, index=pd.Index([], dtype=str))
    return wide_table({name: exact_figures(marginal, prob) for name, marginal in distributions.items()})


def row_labels(name: str, variable: xr.DataArray) -> list[str]:
    """ArviZ's labels of the entries of a variable, ``beta[0, a]``, last dim fastest.

    The label of a coordinate is formatted once and not once per row, which is what ArviZ's own labeller does.

    Examples
    --------
    >>> import xarray as xr
    >>> row_labels("beta", xr.DataArray(np.zeros((2, 1)), coords={"k": [0, 1], "arm": ["a"]}))
    ['beta[0, a]', 'beta[1, a]']
    >>> row_labels("tau", xr.DataArray(1.0))
    ['tau']
    """
    if not variable.dims:
        return [name]
    labels = [[f"{label}" for label in variable[dim].values] for dim in variable.dims]
    return [f"{name}[{', '.join(entry)}]" for entry in product(*labels)]


def sampled_summary(tree: xr.DataTree, **options: Any) -> pd.DataFrame:
    """``arviz.summary`` of a tree, with ArviZ's defaults unless `options` says otherwise.

    Parameters
    ----------
    tree : xarray.DataTree
        A tree with the group ``posterior`` (or the one named by ``group=``).
    **options
        Passed to ``arviz_stats.summary``: ``var_names``, ``group``, ``kind``, ``ci_prob``, ``ci_kind`` ...

    Returns
    -------
    pandas.DataFrame
        Raw values; printed with digits that fit the Monte Carlo error.
    """
    from arviz_stats.summary import summary

    # ArviZ stacks all variables of a group, and cannot where one bears labels beside its dim, as missing cells do.
    group = tree[options.pop("group", "posterior")].to_dataset().reset_coords(drop=True)
    table: pd.DataFrame = summary(group, **options)
    return table


def merged_summary(
    figures: Mapping[str, xr.DataArray],
    tree: xr.DataTree | None = None,
    *,
    prob: float = 0.89,
    var_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One table of exact and of sampled variables.

    A variable with an exact marginal is summarised by it, even where the tree holds draws of it too; the others by
    their draws. In exact rows the Monte Carlo errors are 0; effective sample sizes and R-hat, which only draws have,
    are NaN.

    Parameters
    ----------
    figures : mapping of {name: DataArray}
        Figures of the exact marginals, by `exact_figures`.
    tree : xarray.DataTree, optional
        Draws of the posterior. Without it, or where every variable is exact, the result is that of `wide_table`;
        without exact marginals it is that of `sampled_summary`.
    prob : float
        Probability inside the equal-tailed interval.
    var_names : sequence of str, optional
        Variables to show, in this order. By default all: those of the tree in its order, then the other exact ones.

    Returns
    -------
    pandas.DataFrame
        The columns of ``arviz.summary``.

    Raises
    ------
    ModelError
        If a name in `var_names` is neither exact nor in the tree.
    """
    import pandas as pd

    drawn = [] if tree is None else [str(name) for name in tree["posterior"].data_vars]
    known = [*drawn, *(name for name in figures if name not in drawn)]
    order = known if var_names is None else list(var_names)
    unknown = [name for name in order if name not in known]
    if unknown:
        raise ModelError(
            f"A summary must be of variables with an exact marginal or draws. Got {', '.join(map(repr, unknown))}, "
            f"while there are {', '.join(known)}.\nCheck the spelling."
        )
    exact = {name: figures[name] for name in order if name in figures}
    sampled = [name for name in order if name not in exact]
    if tree is None or not sampled:
        return wide_table(exact) if exact else exact_summary({}, prob)
    if not exact:
        return sampled_summary(tree, var_names=sampled, ci_prob=prob, ci_kind="eti")
    pieces: list[pd.DataFrame] = []
    for name in order:
        if name in exact:
            pieces.append(wide_table({name: with_diagnostics(exact[name])}))
        else:
            pieces.append(sampled_summary(tree, var_names=[name], ci_prob=prob, ci_kind="eti", round_to="none"))
    return pd.concat(pieces)
