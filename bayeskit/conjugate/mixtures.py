r"""Scale mixtures: half-t scales as inverse-gamma mixtures.

If :math:`s \sim \text{half-}t_\nu(A)`, then :math:`s^2 \mid a \sim \mathrm{InvGamma}(\nu/2, \nu/a)` with
:math:`a \sim \mathrm{InvGamma}(1/2, 1/A^2)`, and :math:`a \mid s \sim \mathrm{InvGamma}((\nu+1)/2, 1/A^2 + \nu/s^2)`.
The half-Cauchy is :math:`\nu = 1`. Source: Wand et al. (2011), Bayesian Analysis 6, result 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
HALF_T = ("HalfCauchy", "HalfStudentT")


def half_t_naturals(parameters: Sequence[Array], x: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw the auxiliary number given the scale and return the prior's naturals on the square of the scale.

    Parameters
    ----------
    parameters : sequence of array
        Canonical parameters of the prior: ``(beta,)`` of a HalfCauchy, ``(nu, sigma)`` of a HalfStudentT.
    x : array (batch, *dims)
        The current scales.
    rng : numpy.random.Generator
        Source of randomness.
    """
    nu, scale = (1.0, parameters[0]) if len(parameters) == 1 else parameters
    shape = np.broadcast_to(0.5 * (np.asarray(nu) + 1.0), x.shape)
    with np.errstate(divide="ignore"):
        inverse = rng.standard_gamma(shape) / (1.0 / np.asarray(scale) ** 2 + nu / (x * x))  # 1 / a
    half = np.broadcast_to(-0.5 * np.asarray(nu, dtype=float), x.shape)
    return half, np.zeros(x.shape), 2.0 * nu * inverse
