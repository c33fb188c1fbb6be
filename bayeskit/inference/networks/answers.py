"""How what is known of finite latents is told: marginals as distributions, and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Latent

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray


def finite_marginal(latent: Latent, values: Array, p: Array, wrap: Any) -> Distribution | Refusal:
    """Return a Bernoulli, or a Categorical over values 0..K-1, with probabilities ``(*dims, values)``."""
    from bayeskit.distributions import Bernoulli, Categorical

    if latent.prior.distribution.family == "Bernoulli":
        return Bernoulli(wrap(p[..., 1]))
    if values[0] != 0:
        return Refusal(f"its values start at {values[0]}, and those of a Categorical at 0")
    return Categorical(wrap(p, category=True))


def listed(names: Sequence[str]) -> str:
    """Return names in quotes, the first few of many."""
    text = ", ".join(f"'{n}'" for n in names[:6])
    return f"{text} ... ({len(names)} in all)" if len(names) > 6 else text
