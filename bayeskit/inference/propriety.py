r"""Scales of latents whose posterior is known to be improper.

With J latents of sd :math:`\tau` about a mean, the likelihood of the data tends to a constant as :math:`\tau \to 0`
and falls as :math:`\tau^{-(J - q)}` as :math:`\tau \to \infty`, with q flat means. A prior :math:`\tau^a` is therefore
proper a posteriori only if :math:`-1 < a < J - q - 1`.
Source: Gelman (2006), Prior distributions for variance parameters, Bayesian Analysis 1, 515-534, sec. 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeskit.errors import ImproperError
from bayeskit.expressions import Variable
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.steps.scales import BlockScale, ScalePart

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution


def check_scale(scale: BlockScale, block: GaussianBlock) -> None:
    """Refuse an improper prior on the scale of latents that the data cannot mend.

    Raises
    ------
    ImproperError
        Where the posterior is known not to exist.
    """
    prior = scale.latent.prior.distribution
    if prior.is_proper or len(scale.parts) != 1 or not _is_latent_level(scale.parts[0], block):
        return
    (part,) = scale.parts
    powers = {"Flat": -2.0 / part.exponent - 1.0, "InverseGamma": -1.0, "Gamma": -1.0}
    if prior.family not in powers or not _is_bare_power(prior):
        return
    power = powers[prior.family]
    groups = part.factor.precision.plates // max(1, scale.latent.size)
    free = [t.target for _, t in part.factor.design.terms if t.target != _value(part)]
    flat = sum(block.problem.latents[n].prior.distribution.family == "Flat" for n in set(free))
    if power <= -1.0:
        why = f"{prior} has infinite mass at zero, where the data do not rule it out"
    elif groups - flat <= power + 1.0:
        why = f"{prior} has infinite mass in its tail, and {groups} group{'s' if groups > 1 else ''} do not bound it"
    else:
        return
    raise ImproperError(
        f"The posterior of '{scale.latent.name}', the scale of '{_value(part)}', is improper: {why}. "
        "Use a proper prior such as bk.HalfNormal."
    )


def _value(part: ScalePart) -> str:
    value = part.factor.factor.value
    assert isinstance(value, Variable)
    return value.name


def _is_latent_level(part: ScalePart, block: GaussianBlock) -> bool:
    value = part.factor.factor.value
    return isinstance(value, Variable) and value.name in block.names and part.factor.precision.kind == "scalar"


def _is_bare_power(prior: Distribution) -> bool:
    """Whether a prior is a power of the scale from zero to infinity: Flat(lower=0), or a family at zero parameters."""
    if prior.family == "Flat":
        lower = prior.given.get("lower")
        return prior.given.get("upper") is None and isinstance(lower, int | float) and lower == 0
    return all(isinstance(v, int | float) and v == 0 for v in prior.canonical.values())
