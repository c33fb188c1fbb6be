r"""Scales whose posterior is known to be improper.

With J latents of sd :math:`\tau` about a mean, the likelihood of the data tends to a constant as :math:`\tau \to 0`
and falls as :math:`\tau^{-(J - q)}` as :math:`\tau \to \infty`, with q flat means. A prior :math:`\tau^a` is therefore
proper a posteriori only if :math:`-1 < a < J - q - 1`.

Rows that are fitted exactly (all alike, or as many as their coefficients) say nothing against a noise
:math:`\sigma \to 0`: with n of them and r free coefficients the likelihood rises as :math:`\sigma^{-(n - r)}`, and a
prior :math:`\sigma^a`, proper or not, is improper a posteriori where :math:`a - (n - r) \le -1`.

Source: Gelman (2006), Prior distributions for variance parameters, Bayesian Analysis 1, 515-534, sec. 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeskit.errors import ImproperError
from bayeskit.expressions import Variable
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.inference.block import BlockFactor, GaussianBlock
from bayeskit.inference.grouped_block import GroupedBlock
from bayeskit.inference.steps.scales import BlockScale, ScalePart
from bayeskit.model.problem import Latent

if TYPE_CHECKING:
    from bayeskit.distributions import Distribution

Array = np.ndarray
_ROUNDING = 16 * np.finfo(float).eps  # residuals so small beside the largest row are none
_MINUTE = 1e-10  # a noise, relative to the largest row, at which a fit is as good as exact
_MOST_CELLS = 8  # of the noise cells that are fitted exactly, so many are looked at


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


def check_flat(block: GaussianBlock) -> None:
    """Refuse flat coefficients that are more than the rows, whatever the scales are.

    Raises
    ------
    ImproperError
        Where the posterior is known not to exist.
    """
    flat = [n for n in block.names if block.problem.latents[n].prior.distribution.family == "Flat"]
    rows = sum(bf.precision.rows for bf in block.factors)
    if flat and rows < block.total:
        names = ", ".join(repr(n) for n in flat)
        raise ImproperError(
            f"The posterior of {names} is improper: {rows:,.0f} rows do not determine {block.total:,} coefficients. "
            "Give more data, or proper priors."
        )


def check_fit(scale: BlockScale, block: GaussianBlock) -> None:
    """Refuse a prior on the noise of rows that are fitted exactly, if it does not vanish fast enough at zero.

    Raises
    ------
    ImproperError
        Where the posterior is known not to exist.
    """
    power = _power_at_zero(scale.latent.prior.distribution)
    if power is None or not block.is_static or any(not _is_noise(part, block) for part in scale.parts):
        return
    for part in scale.parts:
        exact = _fitted_exactly(part, block)
        if not len(exact):
            continue
        order = power - 0.5 * abs(part.exponent) * _free_rows(part, block, exact)
        if np.any(order <= -1.0 + 1e-3):
            raise _exact(scale.latent, part.factor)


def check_fit_of_groups(name: str, groups: GroupedBlock) -> None:
    """Refuse the same on the noises of independent groups, each a number of its own.

    Raises
    ------
    ImproperError
        Where the posterior is known not to exist.
    """
    latent = groups.block.problem.latents[name]
    power = _power_at_zero(latent.prior.distribution)
    if power is None or len(groups.moving) != 1:
        return
    (part,) = groups.moving
    bf = part.factor
    assert bf is not None and bf.precision.latent is not None
    form = power_form(bf.precision.latent, name)
    if isinstance(form, NotPower) or form.exponent <= 0 or bf.factor.value.variables & set(groups.names):
        return
    rows = np.abs(bf.factor.value_array(groups.block.problem.env)).reshape(-1)
    rounding = part.rows * bf.precision.framed_weight.min() * _ROUNDING**2
    for group in np.flatnonzero((part.rows > 1) & (part.vv <= rounding * rows.max(initial=0.0) ** 2)):
        largest = rows[bf.precision.cell == part.cell[group]].max()
        free = part.rows[group] - np.linalg.matrix_rank(part.A[group], hermitian=True)
        if part.vv[group] <= rounding[group] * largest**2 and power - form.exponent * free <= -1.0 + 1e-3:
            raise _exact(latent, bf)


def _exact(latent: Latent, bf: BlockFactor) -> ImproperError:
    return ImproperError(
        f"The posterior of '{latent.name}', the scale of '{bf.factor.name}', is improper: rows are fitted exactly, and "
        f"{latent.prior.distribution} does not rule out a scale of zero. Use a prior that vanishes there, such as "
        "bk.LogNormal, or bk.InverseGamma on the variance."
    )


def _power_at_zero(prior: Distribution) -> float | None:
    """Return a in a density that behaves as ``x**a`` at zero; None where it is no power, or not known to be one."""
    if prior.family in ("HalfNormal", "HalfCauchy", "HalfStudentT", "Exponential"):
        return 0.0
    if prior.family in ("Uniform", "Flat"):
        lower = prior.given.get("lower")
        return 0.0 if isinstance(lower, int | float) and lower == 0 else None
    shape = prior.given.get("alpha") if prior.family == "Gamma" else None
    return shape - 1.0 if isinstance(shape, int | float) and shape > 0 else None


def _is_noise(part: ScalePart, block: GaussianBlock) -> bool:
    """Whether a part says how far observed numbers lie from what the block gives: an sd or a variance."""
    seen = not part.factor.factor.value.variables & set(block.names)
    return seen and part.exponent < 0 and part.factor.precision.kind == "scalar" and part.factor.entries == 1


def _fitted_exactly(part: ScalePart, block: GaussianBlock) -> Array:
    """Return the noise cells of several rows whose residuals are nothing but rounding."""
    precision, cells = part.factor.precision, part.factor.cells
    rows = np.abs(part.factor.factor.value_array(block.problem.env)).reshape(-1)
    size = float(rows.max(initial=0.0))
    minute = np.ones((1, cells), bool)  # all of them at once, and where they are few each alone
    if 1 < cells <= _MOST_CELLS:
        minute = np.concatenate([minute, np.eye(cells, dtype=bool)])
    unit = (size or 1.0) ** -2.0
    try:
        system, _ = block.factored(block.problem.env, _precisions(part, block, unit * _MINUTE ** (-2.0 * minute)))
        x = block.layout.gather(*system.solve())
    except np.linalg.LinAlgError:
        return np.zeros(0, int)
    squares = block.residual_sums(x)[:, part.columns].min(axis=0)
    rounding = precision.counts * precision.framed_weight.min() * _ROUNDING**2
    found = np.flatnonzero((precision.counts > 1) & (squares <= rounding * size**2))[:_MOST_CELLS]
    largest = np.array([rows[precision.cell == c].max() for c in found])
    return found[squares[found] <= rounding[found] * largest**2] if len(found) else found


def _free_rows(part: ScalePart, block: GaussianBlock, cells: Array) -> Array:
    """Return n - r of noise cells: r is by how much the log determinant of the block rises with their log precision."""
    steps = np.concatenate([np.zeros((1, part.factor.cells)), np.eye(part.factor.cells)[cells]])
    try:
        log_det = block.factored(block.problem.env, _precisions(part, block, _MINUTE ** (-2.0 - steps)))[0].log_det()
    except np.linalg.LinAlgError:
        return np.zeros(len(cells))
    return np.asarray(part.factor.precision.counts[cells] + (log_det[1:] - log_det[0]) / np.log(_MINUTE))


def _precisions(part: ScalePart, block: GaussianBlock, own: Array) -> list[Array]:
    """Return precisions of the block's rows: those of a part ``(batch, cells)``, of others one."""
    return [own if bf is part.factor else np.ones((len(own), bf.cells)) for bf in block.moving]


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
