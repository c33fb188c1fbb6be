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

__all__ = ["Marginal", "exact_summary", "merged_summary", "row_labels", "sampled_summary"]

_DIAGNOSTICS = ("ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd")


class Marginal(Protocol):
    """What a summary asks of an exact marginal: three questions, answered in DataArrays with the variable's dims."""

    def mean(self) -> xr.DataArray:
        """Means."""

    def sd(self) -> xr.DataArray:
        """Standard deviations."""

    def eti(self, prob: float) -> xr.DataArray:
        """Equal-tailed intervals; the last dim is ``ci_bound``, lower before upper."""


class Figures:
    """The answers of an exact marginal, worked out once; RefusedError where it has one of them in no closed form."""

    def __init__(self, marginal: Marginal, prob: float) -> None:
        self._mean, self._sd, self._eti, self._prob = marginal.mean(), marginal.sd(), marginal.eti(prob), prob

    def mean(self) -> xr.DataArray:
        """Means."""
        return self._mean

    def sd(self) -> xr.DataArray:
        """Standard deviations."""
        return self._sd

    def eti(self, prob: float) -> xr.DataArray:
        """Equal-tailed intervals of the probability they were worked out for."""
        assert prob == self._prob
        return self._eti


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
    import xarray as xr

    percent = int(prob * 100)  # not round(): ArviZ truncates, and the names must agree
    columns: dict[str, list[np.ndarray]] = {
        column: [] for column in ("mean", "sd", f"eti{percent}_lb", f"eti{percent}_ub")
    }
    labels: list[str] = []
    for name, distribution in distributions.items():
        mean = distribution.mean()
        interval = distribution.eti(prob)
        bounds = (interval.isel(ci_bound=bound, drop=True) for bound in (0, 1))
        answers = xr.broadcast(mean, distribution.sd(), *bounds)
        dims = answers[0].dims
        for parts, answer in zip(columns.values(), answers, strict=True):
            parts.append(np.asarray(answer.transpose(*dims), dtype=np.float64).ravel())
        labels += row_labels(name, answers[0])
    data = {column: np.concatenate(parts) if parts else np.empty(0) for column, parts in columns.items()}
    return pd.DataFrame(data, index=pd.Index(labels, dtype=str))


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
    distributions: Mapping[str, Marginal],
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
    distributions : mapping of {name: distribution}
        The exact marginals.
    tree : xarray.DataTree, optional
        Draws of the posterior. Without it, or where every variable is exact, the result is that of `exact_summary`;
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
    known = [*drawn, *(name for name in distributions if name not in drawn)]
    order = known if var_names is None else list(var_names)
    unknown = [name for name in order if name not in known]
    if unknown:
        raise ModelError(
            f"A summary must be of variables with an exact marginal or draws. Got {', '.join(map(repr, unknown))}, "
            f"while there are {', '.join(known)}.\nCheck the spelling."
        )
    exact = {name: distributions[name] for name in order if name in distributions}
    sampled = [name for name in order if name not in exact]
    if tree is None or not sampled:
        return exact_summary(exact, prob)
    if not exact:
        return sampled_summary(tree, var_names=sampled, ci_prob=prob, ci_kind="eti")
    pieces: list[pd.DataFrame] = []
    for name in order:
        if name in exact:
            piece = exact_summary({name: exact[name]}, prob).assign(**dict.fromkeys(_DIAGNOSTICS, np.nan))
            pieces.append(piece.assign(mcse_mean=0.0, mcse_sd=0.0))
        else:
            pieces.append(sampled_summary(tree, var_names=[name], ci_prob=prob, ci_kind="eti", round_to="none"))
    return pd.concat(pieces)
