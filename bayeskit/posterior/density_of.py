"""The joint posterior log density at given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError, ImproperError, RefusedError
from bayeskit.inference.plan import Plan
from bayeskit.posterior.evidence import log_evidence

if TYPE_CHECKING:
    import xarray as xr


def log_prob(plan: Plan, values: Any) -> xr.DataArray:
    """Return the joint log density at values by name, over whatever dims they bear beyond the latents' own."""
    import xarray as xr

    problem = plan.problem
    missing = [n for n in problem.latents if n not in values]
    if missing:
        raise DataError(f"log_prob must be given every latent. Got no value for '{missing[0]}'.")
    unknown = [str(n) for n in values if n not in problem.latents and n not in problem.derived]
    if unknown:
        raise DataError(f"log_prob was given '{unknown[0]}', which is not a latent of the model.")
    arrays = {}
    for name, latent in problem.latents.items():
        value = values[name]
        if not isinstance(value, xr.DataArray):
            value = np.asarray(value)
            if value.shape != latent.shape:
                raise DataError(
                    f"The value of '{name}' must have shape {latent.shape} for dims {latent.variable.dims or 'none'}. "
                    f"Got {value.shape}. Use a DataArray for several values at once."
                )
            value = xr.DataArray(value, dims=latent.variable.dims)
        absent = [d for d in latent.variable.dims if d not in value.dims]
        if absent:
            raise DataError(f"The value of '{name}' must have the dim '{absent[0]}'. Got dims {value.dims}.")
        arrays[name] = _in_order(name, value.reset_coords(drop=True), latent.variable.dims, problem.coords)
    lead = list(
        dict.fromkeys(d for n, a in arrays.items() for d in a.dims if d not in problem.latents[n].variable.dims)
    )
    sizes = {d: s for a in arrays.values() for d, s in a.sizes.items() if d in lead}
    state = {}
    for name, value in arrays.items():
        dims = problem.latents[name].variable.dims
        full = value.expand_dims({d: sizes[d] for d in lead if d not in value.dims}).transpose(*lead, *dims)
        state[name] = full.values.reshape(-1, *problem.latents[name].shape)
    with np.errstate(all="ignore"):
        total = problem.log_joint(state)
    known = np.all([np.isfinite(v.reshape(len(v), -1)).all(axis=1) for v in state.values()], axis=0)
    total = np.where(np.isnan(total) & known, -np.inf, total)  # a likelihood is not defined beyond the prior's support
    normalised = True
    try:
        total = total - float(log_evidence(plan))
    except (ImproperError, RefusedError):
        normalised = False
    coords = {d: c for a in arrays.values() for d, c in a.coords.items() if d in lead}
    shape = tuple(sizes[d] for d in lead)
    return xr.DataArray(
        np.broadcast_to(total, (int(np.prod(shape, dtype=int)),)).reshape(shape), dims=lead, coords=coords,
        attrs={"normalised": int(normalised)},
    )  # fmt: skip


def _in_order(name: str, value: xr.DataArray, dims: tuple[str, ...], coords: Mapping[str, np.ndarray]) -> xr.DataArray:
    """Return a value with the labels of a latent's dims in the order of the model."""
    for d in dims:
        labels = coords.get(d)
        if labels is None or d not in value.coords or np.array_equal(value[d].values, labels):
            continue
        if sorted(map(str, value[d].values)) != sorted(map(str, labels)):
            raise DataError(
                f"The value of '{name}' must bear the labels {list(labels)} of '{d}'. Got {list(value[d].values)}. "
                "Give every label once."
            )
        value = value.sel({d: labels})
    return value
