"""Mean, standard deviation and interval of every number of a posterior at once: as a Dataset, a DataFrame or a summary.

What has an exact marginal is answered by it, cell by cell in arrays; the rest is drawn. Where cells of a plate have the
same posterior because the data say the same of them, one of each class is drawn and stands for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import ModelError, RefusedError
from bayeskit.inference.collapsed.points import BulkCore
from bayeskit.inference.seeding import Seed, make_rng
from bayeskit.posterior.labels import wrapper
from bayeskit.posterior.summary import (
    drawn_figures,
    exact_figures,
    figure_names,
    merged_summary,
    wide_table,
    with_diagnostics,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeskit.posterior.posterior import Posterior

__all__ = ["Request", "summarise", "to_dataframe", "to_dataset"]

_CHAINS, _DRAWS = 4, 1000  # those of sample()


@dataclass(frozen=True)
class Request:
    """What figures are asked for.

    Attributes
    ----------
    prob : float
        Probability of the equal-tailed intervals.
    tree : DataTree, optional
        Draws of what has no exact marginal.
    exact : bool
        Whether to refuse what has none.
    seed : int, optional
        Seed of the draws that are made where there is no tree.
    """

    prob: float = 0.89
    tree: xr.DataTree | None = None
    exact: bool = False
    seed: Seed = None

    def __post_init__(self) -> None:
        if not isinstance(self.prob, int | float) or not 0 < self.prob < 1:
            raise RefusedError(f"prob must be a probability between 0 and 1. Got {self.prob!r}.")


def to_dataset(posterior: Posterior, var_names: str | Sequence[str] | None, request: Request) -> xr.Dataset:
    """Return the figures as a Dataset: the first dim of every variable is ``summary``, as ArviZ has it."""
    import xarray as xr

    names = _names(posterior, var_names)
    figures, missing = _figures(posterior, names, request)
    if missing:
        tree = _draws(posterior, request)
        group = tree["posterior"].to_dataset()[missing].reset_coords(drop=True)
        figures |= drawn_figures(group, request.prob)
    if any(f.sizes["summary"] > 4 for f in figures.values()):
        figures = {name: with_diagnostics(f) for name, f in figures.items()}
    if not figures:
        return xr.Dataset(coords={"summary": figure_names(request.prob)})
    # Not by the constructor's own alignment: labels are the same objects, and a million of them need no comparing.
    return xr.Dataset({name: figures[name] for name in names}, attrs={"method": posterior._plan.method})


def to_dataframe(posterior: Posterior, var_names: str | Sequence[str] | None, request: Request) -> pd.DataFrame:
    """Return the figures as a DataFrame with a row for every number, indexed by its labels."""
    import pandas as pd

    dataset = to_dataset(posterior, var_names, request)
    columns = dataset["summary"].values.tolist()
    variables = {str(name): figures for name, figures in dataset.data_vars.items()}
    blocks = [f.transpose("summary", ...).values.reshape(len(columns), -1) for f in variables.values()]
    data = {c: np.concatenate([b[i] for b in blocks]) if blocks else np.empty(0) for i, c in enumerate(columns)}
    index = _index(dataset, variables, named=not isinstance(var_names, str))
    return pd.DataFrame(data, index=index, copy=False)


def summarise(posterior: Posterior, request: Request) -> pd.DataFrame:
    """Return the figures as ``arviz.summary`` lays them out."""
    names = _names(posterior, None)
    figures, missing = _figures(posterior, names, request)
    drawn = _draws(posterior, request) if missing else None
    if not missing and any(f.sizes["summary"] > 4 for f in figures.values()):
        return wide_table({name: with_diagnostics(figures[name]) for name in names})
    return merged_summary(figures, drawn, prob=request.prob, var_names=names)


def _names(posterior: Posterior, var_names: str | Sequence[str] | None) -> list[str]:
    """Return the latents and derived quantities asked for, by default all."""
    known = [*posterior._problem.latents, *posterior._problem.derived]
    if var_names is None:
        return known
    asked = [var_names] if isinstance(var_names, str) else list(var_names)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ModelError(
            f"var_names must name latents or derived quantities of the model. Got {unknown[0]!r}, while there are "
            f"{', '.join(known) or 'none'}. Check the spelling."
        )
    return list(dict.fromkeys(asked))


def _figures(posterior: Posterior, names: Sequence[str], request: Request) -> tuple[dict[str, xr.DataArray], list[str]]:
    """Return the figures that need no draws of whole plates, and the names of what is left."""
    figures: dict[str, xr.DataArray] = {}
    refused: dict[str, RefusedError] = {}
    for name in names:
        try:
            figures[name] = exact_figures(posterior[name], request.prob)
        except RefusedError as reason:
            refused[name] = reason
    if refused and request.exact:
        raise RefusedError(f"exact=True cannot be honoured. {next(iter(refused.values()))}")
    if refused and request.tree is None:
        figures |= _by_classes(posterior, list(refused), request)
    return figures, [name for name in refused if name not in figures]


def _draws(posterior: Posterior, request: Request) -> xr.DataTree:
    return request.tree if request.tree is not None else posterior.sample(seed=request.seed)


def _by_classes(posterior: Posterior, names: Sequence[str], request: Request) -> dict[str, xr.DataArray]:
    """Return figures by draws of a sampled core and of one cell of every class; none where they would not do for all.

    What is drawn whole for another name is drawn whole for all, so that the figures are of one run.
    """
    import xarray as xr

    plan, problem = posterior._plan, posterior._problem
    cores = {name: plan.collapsed_of(name) for name in names}
    if not all(isinstance(core, BulkCore) and core.knows_classes(name) for name, core in cores.items()):
        return {}
    rng, _ = make_rng(request.seed)
    figures: dict[str, xr.DataArray] = {}
    for core in {id(c): c for c in cores.values()}.values():
        assert isinstance(core, BulkCore)
        values, classes = core.sample_classes(names, rng, _CHAINS, _DRAWS)
        draws = {}
        for name in [n for n in names if cores[n] is core]:
            value = values[name].reshape(_CHAINS, _DRAWS, *values[name].shape[1:])
            label = xr.DataArray(np.zeros(value.shape[2:])) if name in classes else wrapper(problem, name)(value[0, 0])
            own = tuple(f"{name}_class" if name in classes else d for d in getattr(label, "dims", ()))
            coords = {} if name in classes else dict(getattr(label, "coords", {}))
            draws[name] = xr.DataArray(value, dims=("chain", "draw", *own), coords=coords)
        for name, found in drawn_figures(xr.Dataset(draws), request.prob).items():
            figures[name] = _spread(found, classes[name].of, wrapper(problem, name)) if name in classes else found
    return figures


def _spread(found: xr.DataArray, of: np.ndarray, wrap: Any) -> xr.DataArray:
    """Return figures of classes for every cell."""
    import xarray as xr

    cells = wrap(of)
    values = found.values[:, cells.values]
    return xr.DataArray(values, dims=("summary", *cells.dims), coords={"summary": found["summary"], **cells.coords})


def _index(dataset: xr.Dataset, variables: dict[str, xr.DataArray], *, named: bool) -> pd.Index:
    """Return the labels of the rows, by codes: a million strings are not compared with each other."""
    import pandas as pd

    dims = [d for d in dataset.dims if d != "summary"]
    sizes = [int(np.prod([n for d, n in f.sizes.items() if d != "summary"], dtype=int)) for f in variables.values()]
    levels: list[Any] = [pd.Index(list(variables), dtype=str)]
    codes: list[Any] = [np.repeat(np.arange(len(sizes)), sizes)]
    for dim in dims:
        levels.append(dataset.indexes[dim] if dim in dataset.indexes else pd.RangeIndex(dataset.sizes[dim]))
        parts = [_codes(f, dim, size) for f, size in zip(variables.values(), sizes, strict=True)]
        codes.append(np.concatenate(parts))
    names: list[Any] = ["variable", *dims]
    if not named and dims:
        levels, codes, names = levels[1:], codes[1:], names[1:]
    if len(levels) == 1:
        return pd.Index(levels[0], name=names[0])
    return pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=False)


def _codes(figures: xr.DataArray, dim: Any, size: int) -> np.ndarray:
    """Return where every number of a variable stands along a dim; -1, which is "missing", if it has no such dim."""
    if dim not in figures.dims:
        return np.full(size, -1)
    dims = [d for d in figures.dims if d != "summary"]
    shape = [figures.sizes[d] if d == dim else 1 for d in dims]
    place = np.arange(figures.sizes[dim]).reshape(shape)
    return np.broadcast_to(place, [figures.sizes[d] for d in dims]).reshape(-1)
