r"""Scale mixtures: half-t scales as inverse-gamma mixtures.

If :math:`s \sim \text{half-}t_\nu(A)`, then :math:`s^2 \mid a \sim \mathrm{InvGamma}(\nu/2, \nu/a)` with
:math:`a \sim \mathrm{InvGamma}(1/2, 1/A^2)`, and :math:`a \mid s \sim \mathrm{InvGamma}((\nu+1)/2, 1/A^2 + \nu/s^2)`.
The half-Cauchy is :math:`\nu = 1`. Source: Wand et al. (2011), Bayesian Analysis 6, result 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray
HALF_T = ("HalfCauchy", "HalfStudentT")


def half_t_naturals(prior: Any, x: Array, env: Any, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw the auxiliary number given the scale and return the prior's naturals on the square of the scale.

    Parameters
    ----------
    prior : Factor
        A HalfCauchy or HalfStudentT prior.
    x : array (batch, *dims)
        The current scales.
    env, rng
        The state, and the source of randomness.
    """
    arrays = prior.parameter_arrays(env)
    nu, scale = (1.0, arrays[0]) if prior.distribution.family == "HalfCauchy" else arrays
    shape = np.broadcast_to(0.5 * (np.asarray(nu) + 1.0), x.shape)
    with np.errstate(divide="ignore"):
        inverse = rng.standard_gamma(shape) / (1.0 / np.asarray(scale) ** 2 + nu / (x * x))  # 1 / a
    half = np.broadcast_to(-0.5 * np.asarray(nu, dtype=float), x.shape)
    return half, np.zeros(x.shape), 2.0 * nu * inverse
