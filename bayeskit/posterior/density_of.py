"""The joint posterior log density at given values."""

from __future__ import annotations

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
        arrays[name] = value.reset_coords(drop=True)
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
        total = problem.log_joint(state) if state else np.zeros(1)
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
