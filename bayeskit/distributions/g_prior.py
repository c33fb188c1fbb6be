"""Zellner's g-prior of the coefficients of a regression."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.domains import Parameter, positive, real
from bayeskit.distributions.mv_normal import MvNormal
from bayeskit.distributions.parameters import (
    EVENT_DIMS,
    is_dataarray,
    is_expression,
    read_value,
    show_value,
    validate_value,
)
from bayeskit.errors import ParameterError
from bayeskit.expressions import as_expression
from bayeskit.expressions.gram import InverseGramFactor, inverse_gram_factor

__all__ = ["GPrior"]

_DESIGN = Parameter("X", real, event_ndim=2)
_G = Parameter("g", positive)
_SCALES = {"sigma": lambda v: v, "var": lambda v: v**0.5, "tau": lambda v: v**-0.5}


class GPrior(MvNormal):
    r"""Zellner's g-prior: normal coefficients with the covariance that least squares would give them, times g.

    .. math:: b \sim N\left(0,\; g \sigma^2 (Z'Z)^{-1}\right), \qquad Z = X - 1 \bar{x}'

    Parameters
    ----------
    X : expression, DataArray or matrix
        Design over two dims, rows and coefficients; the last is the dim of the coefficients.
    g : number or expression
        How many times wider than the likelihood; `n` is unit information. A latent makes a mixture of g-priors:
        ``InverseGamma(1/2, n/2)`` is the Zellner-Siow prior, ``u / (1 - u)`` with ``u ~ Beta(1, a/2 - 1)`` the hyper-g
        prior.
    sigma : number or expression
        Standard deviation of the noise of the regression.
    var, tau : number or expression, optional
        Variance or precision of the noise, instead of `sigma`.
    centred : bool
        Whether the columns of X are centred here, as the field does where the intercept is flat. Give False for a
        regression without an intercept.

    Raises
    ------
    ParameterError
        Where g or the scale is not positive.
    ModelError
        Where X has not two dims.
    DataError
        Where the columns of X are not linearly independent (once centred): when the data come.

    Notes
    -----
    X is centred *for you*, in the prior. In the mean of the observations, ``a + X @ b`` with ``a ~ Flat()``, it need
    not be: centring there shifts the flat intercept, and changes neither the coefficients nor the evidence.

    With :math:`\sigma^2` of density :math:`1 / \sigma^2` (``InverseGamma(0, 0)``) or an inverse gamma, the posterior is
    exact, and with a flat intercept the Bayes factor against the model with the intercept alone is

    .. math:: (1 + g)^{(n - 1 - p)/2} \left(1 + g (1 - R^2)\right)^{-(n - 1)/2}.

    Source: Zellner (1986), On assessing prior distributions and Bayesian regression analysis with g-prior
    distributions; Liang, Paulo, Molina, Clyde and Berger (2008), Mixtures of g priors for Bayesian variable selection,
    JASA 103, 410-423, eq. 2 and 6.

    Examples
    --------
    >>> import bayeskit as bk
    >>> def regression(g):
    ...     m = bk.Model()
    ...     X = m.data("X", dims=("obs", "k"))
    ...     sigma2 = m.latent("sigma2", bk.InverseGamma(0, 0))
    ...     mean = m.latent("a", bk.Flat())
    ...     if g:
    ...         mean = mean + X @ m.latent("b", bk.GPrior(X, g, var=sigma2), dims="k")
    ...     m.observed("y", bk.Normal(mean, var=sigma2), dims="obs")
    ...     return m.condition({"X": [[1], [2], [3], [4], [5]], "y": [1.1, 1.9, 3.2, 3.9, 5.1]})
    >>> posterior = regression(g=5)
    >>> posterior["b"].mean().values.round(4)
    array([0.8333])
    >>> round(float(bk.bayes_factor(posterior, regression(g=None))), 3)
    13.7
    """

    def __init__(
        self, X: Any = None, g: Any = None, sigma: Any = None, *, var: Any = None, tau: Any = None, centred: bool = True
    ) -> None:
        scales = {n: v for n, v in (("sigma", sigma), ("var", var), ("tau", tau)) if v is not None}
        if X is None or g is None or len(scales) != 1:
            got = [n for n, v in (("X", X), ("g", g)) if v is not None] + list(scales)
            raise ParameterError(
                "GPrior must be given X, g, and one of sigma, var and tau. Got "
                f"{', '.join(got) or 'nothing'}. Write bk.GPrior(X, g, sigma)."
            )
        ((name, scale),) = scales.items()
        design, g = read_value(X, _DESIGN, "GPrior"), read_value(g, _G, "GPrior")
        scale = read_value(scale, Parameter(name, positive), "GPrior")
        validate_value(design, _DESIGN, "GPrior")
        validate_value(g, _G, "GPrior")
        validate_value(scale, Parameter(name, positive), "GPrior")
        factor = _factor(design, centred, any(is_expression(v) for v in (design, g, scale)))
        times = g**0.5 * _SCALES[name](scale)
        if is_dataarray(times) and not is_dataarray(factor):
            factor = type(times)(factor, dims=EVENT_DIMS)
        super().__init__(0, cholesky=times * factor)  # in this order: the dims of the event come last
        given = {"X": design, "g": g, name: scale} | ({} if centred else {"centred": False})
        object.__setattr__(self, "given", given)

    @property
    def family(self) -> str:
        """Name of the family that it is: it differs from a MvNormal in how it is written alone."""
        return "MvNormal"

    def __repr__(self) -> str:
        plain = {"X", "g", "sigma"}
        parts = [show_value(v) if n in plain else f"{n}={show_value(v)}" for n, v in self.given.items()]
        return f"GPrior({', '.join(parts)})"

    def _with(self, **canonical: Any) -> MvNormal:  # type: ignore[override]
        return MvNormal(**{**self.canonical, **canonical})


def _factor(design: Any, centred: bool, in_model: bool) -> Any:
    """Return the lower factor of ``(Z'Z)^-1``: numbers where all is known, else an expression."""
    if in_model:
        return InverseGramFactor(as_expression(design), centred=centred)
    if not is_dataarray(design):
        return inverse_gram_factor(np.atleast_2d(design), centred=centred)
    dim = design.dims[1]
    coords = {dim: design[dim].values} if dim in design.coords else {}
    values = inverse_gram_factor(design.values, centred=centred)
    return type(design)(values, dims=(dim, f"{dim}_"), coords=coords)
