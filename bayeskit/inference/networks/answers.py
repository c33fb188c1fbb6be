"""How what is known of finite latents is told: marginals as distributions, and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.model.problem import Latent

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def finite_marginal(latent: Latent, values: Array, p: Array, wrap: Any) -> Distribution:
    """Return a Bernoulli or a Categorical where the prior is one, else a distribution on the values.

    Probabilities are ``(*dims, values)``.
    """
    from bayeskit.distributions import Bernoulli, Categorical
    from bayeskit.distributions.finite import FiniteDiscrete

    if latent.prior.distribution.family == "Bernoulli":
        return Bernoulli(wrap(p[..., 1]))
    if latent.prior.distribution.family == "Categorical":
        return Categorical(wrap(p, category=True))
    return FiniteDiscrete(values, wrap(p, category=True))


def listed(names: Sequence[str]) -> str:
    """Return names in quotes, the first few of many."""
    text = ", ".join(f"'{n}'" for n in names[:6])
    return f"{text} ... ({len(names)} in all)" if len(names) > 6 else text
