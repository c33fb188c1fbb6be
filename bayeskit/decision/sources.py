"""Anybody's draws as one Dataset with the dims chain and draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DecisionError

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_DRAWS = 1000


def draws_dataset(source: Any, draws: int | None = None, seed: Any = None) -> xr.Dataset:
    """Return the draws of a source as a Dataset whose dims include chain and draw.

    Parameters
    ----------
    source : DataTree, Dataset, mapping, data frame, or object with ``sample(draws=, seed=)``
        See :func:`bayeskit.decide`.
    draws : int, optional
        Draws per chain to ask of ``source.sample``, 1000 by default.
    seed : int or Generator, optional
        Passed to ``source.sample``.

    Raises
    ------
    DecisionError
        The source is of another type, holds no draws, has no draw dim, or holds its draws already while `draws` is
        given.
    """
    import xarray as xr

    if isinstance(source, xr.DataArray) and source.name is not None:  # one variable, as arviz.extract returns it
        source = source.to_dataset()
    if isinstance(source, xr.DataTree | xr.Dataset | Mapping) or hasattr(source, "columns"):
        if draws is not None:
            raise DecisionError(
                f"'draws' must be left out where the source holds its draws already. Got draws={draws}.\n"
                "Thin the source instead, e.g. tree.isel(draw=slice(None, None, 10))."
            )
        return _checked(with_chains(_stored(source)))
    if not callable(getattr(source, "sample", None)):
        raise DecisionError(
            "The source of a decision must be a DataTree, a Dataset, a dict of draws or a posterior with sample(). "
            f"Got {type(source).__name__}.\n"
            "Pass for example posterior.sample(), or {'theta': array of shape (chain, draw)}."
        )
    sampled = source.sample(draws=DEFAULT_DRAWS if draws is None else draws, seed=seed)
    if not isinstance(sampled, xr.DataTree | xr.Dataset):
        raise DecisionError(
            f"sample() of the source must return a DataTree. {type(source).__name__} returned "
            f"{type(sampled).__name__}.\nPass the draws under a name instead, e.g. {{'theta': draws}}."
        )
    return _checked(with_chains(_stored(sampled)))


def _stored(source: Any) -> xr.Dataset:
    """Draws that exist already, with whatever dims they have."""
    import xarray as xr

    if isinstance(source, xr.Dataset):
        return source
    if isinstance(source, xr.DataTree):
        if "posterior" in source.children:
            return source["posterior"].to_dataset()
        if source.data_vars:  # the posterior group itself was passed
            return source.to_dataset()
        raise DecisionError(
            f"The DataTree must have the group 'posterior'. Got the groups {in_brackets(source.children)}.\n"
            "Pass the group you mean as a Dataset, e.g. tree['prior'].to_dataset()."
        )
    if hasattr(source, "columns") and not isinstance(source, Mapping):  # a data frame: a column per variable
        source = {str(name): np.asarray(source[name]) for name in source.columns}
    return _from_mapping(source)


def _from_mapping(source: Mapping[str, Any]) -> xr.Dataset:
    """Arrays (chain, draw, ...), or all of them (draw,), or DataArrays, by name."""
    import xarray as xr

    values = {name: x if isinstance(x, xr.DataArray) else np.asarray(x) for name, x in source.items()}
    ndims = {x.ndim for x in values.values() if isinstance(x, np.ndarray)} - {0}
    leading = ("draw",) if ndims == {1} else ("chain", "draw")
    arrays = {}
    for name, x in values.items():
        if isinstance(x, np.ndarray):
            if x.ndim == 1 and len(leading) == 2:
                raise DecisionError(
                    f"Draws of {name!r} must have shape (chain, draw, ...) as the others have. Got shape {x.shape}.\n"
                    "Give every array a leading chain axis, e.g. x[np.newaxis] for one chain."
                )
            rest = tuple(f"{name}_dim_{i}" for i in range(x.ndim - len(leading)))
            x = xr.DataArray(x, dims=(*leading, *rest)[: x.ndim])
        arrays[name] = x
    try:
        return xr.Dataset(arrays)
    except ValueError as error:
        raise DecisionError(
            f"The draws must agree in their dims and sizes. Got {str(error).splitlines()[0]}\n"
            "Give every variable the same chains and draws: arrays of shape (chain, draw, ...)."
        ) from error


def with_chains(draws: xr.Dataset) -> xr.Dataset:
    """Draws along ``sample``, or along ``draw`` alone, get the dims chain and draw.

    A ``sample`` stacked from all chains and draws (as ``arviz.extract`` does) is unstacked, so that autocorrelation
    is seen chain by chain; any other becomes one chain.
    """
    import pandas as pd

    if {"chain", "draw"} <= set(draws.dims):
        return draws
    if "sample" in draws.dims and not {"chain", "draw"} & set(draws.dims):
        index = draws.indexes.get("sample")
        if isinstance(index, pd.MultiIndex) and set(index.names) == {"chain", "draw"}:
            if len(index) == np.prod([len(level) for level in index.remove_unused_levels().levels]):
                return draws.unstack("sample")
            draws = draws.drop_vars(["sample", "chain", "draw"])
        draws = draws.drop_vars("chain", errors="ignore").drop_vars("draw", errors="ignore").rename(sample="draw")
    if "draw" in draws.dims:
        return draws.drop_vars("chain", errors="ignore").expand_dims(chain=[0])
    raise DecisionError(
        f"The draws must have the dims chain and draw (or draw, or sample, alone). "
        f"Got the dims {in_brackets(draws.dims)}.\n"
        "Rename them, e.g. dataset.rename(iteration='draw')."
    )


def _checked(draws: xr.Dataset) -> xr.Dataset:
    if 0 in (draws.sizes["chain"], draws.sizes["draw"]):
        raise DecisionError(
            f"The source of a decision must hold at least one draw. Got {draws.sizes['chain']} chains of "
            f"{draws.sizes['draw']} draws.\nSample first, or check the selection that emptied it."
        )
    return draws


def in_brackets(names: Any) -> str:
    """Names as a message shows them."""
    return "(" + ", ".join(str(name) for name in names) + ")"
