"""Scales above a Gaussian block: what informs them, and how they are best updated.

A scale whose conditional given the block is known is drawn from it, from the sums of squared residuals by noise cell.
Where the numbers it scales are few, or each has little data, block and scale hold each other fast; such a scale, and
any that is not conjugate, is updated with the block integrated out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.families import GammaFamily, NaturalFamily, WishartFamily, natural_family
from bayeskit.conjugate.mixtures import HALF_T, half_t_naturals
from bayeskit.conjugate.pull_back import pull_back
from bayeskit.distributions.gammadraws import standard_gamma
from bayeskit.expressions import Expression, Variable
from bayeskit.expressions.linear import ONE, Position
from bayeskit.expressions.power import NotPower, power_form
from bayeskit.inference.block import BlockFactor, GaussianBlock
from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Latent, Problem

Array = np.ndarray
Environment = Mapping[str, Array]
FEW_BELOW = 20  # a scale of at most so many unknowns is updated with the block integrated out
_FEW_ROWS = 3.0  # and so is one whose unknowns have, each, fewer rows below them
_CROWDED = 0.6  # and so is a scale of data with more unknowns than this, a row
_MOST_ROWS = 20_000  # coefficients that change are laid out anew at each evaluation: beyond so many rows not
_MOST_ELEMENTS = 8  # a scale of more elements than this is not updated element by element


@dataclass(frozen=True, eq=False)
class ScalePart:
    """How one factor of the block informs a scale: its cells, and the power form of the precision in it."""

    factor: BlockFactor
    columns: slice
    coefficient: Expression
    positions: Mapping[str, Position]
    exponent: float


@dataclass(frozen=True, eq=False)
class BlockScale:
    """A latent that scales rows of the block.

    ``family`` is its natural family given the block, None where it has none; ``is_half_t`` says that the family is
    reached through a mixture; ``grip`` why block and scale would hold each other fast, empty where they would not.
    """

    latent: Latent
    parts: tuple[ScalePart, ...]
    family: NaturalFamily | None
    is_half_t: bool
    grip: str
    refusal: str

    @property
    def is_integrated(self) -> bool:
        """Whether it is updated with the block integrated out."""
        possible = not self.latent.prior.event and self.latent.size <= _MOST_ELEMENTS
        return possible and (self.family is None or bool(self.grip))

    @property
    def label(self) -> str:
        """What ``explain`` says."""
        prior = self.latent.prior.distribution
        if self.is_integrated and self.family is None:
            return f"slice sampling with the Gaussian block integrated out: {self.refusal}"
        if self.is_integrated:
            why = f"{self.grip}, and given the block it would stick"
            return f"slice sampling with the Gaussian block integrated out: {why}"
        rows = ", ".join(f"'{p.factor.factor.name}'" for p in self.parts)
        how = "through its inverse-gamma mixture " if self.is_half_t else ""
        return f"conjugate step {how}given the Gaussian block: {prior} prior, scale of {rows}"

    def naturals(self, env: Environment, sums: Array, rng: np.random.Generator) -> tuple[Array, ...]:
        """Return the natural parameters given the block's sums of squared residuals ``(batch, columns)``."""
        assert self.family is not None
        prior = self.latent.prior
        total: tuple[Array, ...]
        if self.is_half_t:
            total = half_t_naturals(prior.parameter_arrays(env), env[self.latent.name], rng)
        else:
            event = len(prior.event)
            raw = self.family.prior(*prior.parameter_arrays(env))
            total = tuple(_laid(np.asarray(n, dtype=float), len(prior.plates), event) for n in raw)
        for part in self.parts:
            total = tuple(a + b for a, b in zip(total, self._contribution(part, env, sums), strict=True))
        return total

    def _contribution(self, part: ScalePart, env: Environment, sums: Array) -> tuple[Array, ...]:
        precision, latent = part.factor.precision, self.latent
        squares = sums[:, part.columns]
        if isinstance(self.family, WishartFamily):
            d = part.factor.design.shape[1]
            matrices = squares.reshape(-1, *latent.prior.shape, d, d)
            return precision.counts.reshape(1, *latent.prior.shape), 0.5 * (matrices + np.swapaxes(matrices, -1, -2))
        shape = 0.5 * precision.counts[None]
        rate = 0.5 * squares
        if part.coefficient is not ONE:
            coefficient = np.asarray(part.coefficient.evaluate(env), dtype=float)
            frame = [d for d in precision.dims if d in part.coefficient.dims]
            index = tuple(slice(None) if d in frame else None for d in precision.dims)
            cells = tuple(part.factor.factor.sizes[d] for d in precision.dims)
            full = np.broadcast_to(coefficient[(slice(None), *index)], (len(coefficient), *cells))
            rate = rate * full.reshape(len(coefficient), -1) ** -2.0
        sizes = dict(zip(latent.variable.dims, latent.shape, strict=True))
        assert isinstance(self.family, GammaFamily)
        spread = [self._to_latent(q, part, env, sizes) for q in (shape, rate)]
        return self.family.along(part.exponent, *spread)

    def _to_latent(self, cells: Array, part: ScalePart, env: Environment, sizes: Mapping[str, int]) -> Array:
        precision = part.factor.precision
        if not precision.dims:
            return cells[:, 0]
        shaped = cells.reshape(cells.shape[0], *(part.factor.factor.sizes[d] for d in precision.dims))
        if list(part.positions.values()) == list(precision.dims):
            return shaped
        positions = {
            d: p if isinstance(p, str) else (p.evaluate(env).astype(np.int64), p.dims)
            for d, p in part.positions.items()
        }
        return pull_back(shaped, precision.dims, positions, sizes)


def _laid(n: Array, plates: int, event: int) -> Array:
    own = event if n.ndim > 1 + plates else 0
    head = n.shape[: n.ndim - own]
    return n.reshape(*head, *(1,) * (1 + plates - len(head)), *n.shape[n.ndim - own :])


def block_scale(problem: Problem, name: str, block: GaussianBlock) -> BlockScale | Refusal:
    """Return how a latent scales the block's rows and nothing else, or why it does not."""
    latent = problem.latents[name]
    if problem.terms_of(name):
        return Refusal(f"the term '{problem.terms_of(name)[0]}' of the density depends on it")
    bends = _bends(latent, problem, block)
    if bends:
        return BlockScale(latent, (), None, False, "", bends)
    parts: list[ScalePart] = []
    starts = np.cumsum([0, *(len(bf.sums) for bf in block.moving if bf.sums is not None)])
    for child in problem.children_of(name):
        place = next((i for i, bf in enumerate(block.moving) if bf.factor is child), None)
        if place is None:
            return Refusal(f"its child '{child.name}' is not a row of the Gaussian block")
        found = _read_part(block.moving[place], slice(int(starts[place]), int(starts[place + 1])), latent)
        if isinstance(found, Refusal):
            return found
        parts.append(found)
    if not parts:
        return Refusal("it has no children")
    family, is_half_t = _family(latent, parts)
    if isinstance(family, str) and latent.size > _MOST_ELEMENTS:
        return Refusal(family)
    grip = next((g for g in (_grip(p, block) for p in parts) if g), "")
    refusal = family if isinstance(family, str) else ""
    return BlockScale(latent, tuple(parts), None if isinstance(family, str) else family, is_half_t, grip, refusal)


def _bends(latent: Latent, problem: Problem, block: GaussianBlock) -> str:
    """Return how a number stands in the coefficients of the block and nowhere else, or nothing.

    The ``tau`` of ``mu + tau * z[group]``, the rate of a growth curve: the block's numbers follow such a one so closely
    that given them it hardly moves. The block integrated out knows it at any value.
    """
    name, prior = latent.name, latent.prior
    if latent.size != 1 or prior.event or prior.distribution.discrete or prior.distribution.family == "Normal":
        return ""  # a normal one is a block of its own: the two take turns
    own = {id(bf.factor): bf for bf in block.factors}
    children = [own.get(id(child)) for child in problem.children_of(name)]
    rows = sum(bf.design.rows for bf in children if bf is not None)
    if rows > _MOST_ROWS:
        return ""
    inside = [
        bf for bf in children if bf is not None and any(name in t.coefficient.variables for _, t in bf.design.terms)
    ]
    if not inside or any(bf is None for bf in children):
        return ""
    return f"it stands in the coefficients of '{inside[0].factor.name}', and given the block it would stick"


def _grip(part: ScalePart, block: GaussianBlock) -> str:
    """Return why a scale and the numbers it scales hold each other fast, or nothing."""
    own = part.factor
    rows = round(float(own.precision.counts.sum()))
    value = own.factor.value
    if isinstance(value, Variable) and value.name in block.names:
        if rows <= FEW_BELOW:
            return f"it scales only {rows} number{'s' if rows > 1 else ''}"
        below = [bf.precision.rows for bf in block.factors if bf is not own and value.name in bf.factor.variables]
        if sum(below) < _FEW_ROWS * own.design.rows:
            return f"the {rows} numbers it scales have few rows below them"
        return ""
    inside = {t.target for _, t in own.design.terms}
    unknowns = sum(latent.size for latent in block.latents if latent.name in inside)
    return (
        f"'{own.factor.name}' has {round(own.precision.rows)} rows for {unknowns} unknowns"
        if unknowns > _CROWDED * rows
        else ""
    )


def _read_part(bf: BlockFactor, columns: slice, latent: Latent) -> ScalePart | Refusal:
    part = bf.precision.latent
    assert part is not None
    if bf.precision.kind == "matrix":
        if isinstance(part, Variable) and part.name == latent.name and bf.precision.dims == latent.prior.plates:
            return ScalePart(bf, columns, ONE, {}, 1.0)
        return Refusal(f"the matrix of '{bf.factor.name}' is not '{latent.name}' itself")
    form = power_form(part, latent.name)
    if isinstance(form, NotPower):
        return Refusal(f"in '{bf.factor.name}', {form}")
    positions = {d: form.positions[d] for d in latent.variable.dims}
    return ScalePart(bf, columns, form.coefficient, positions, -2.0 * form.exponent)


def _family(latent: Latent, parts: list[ScalePart]) -> tuple[NaturalFamily | str, bool]:
    distribution = latent.prior.distribution
    if any(p.factor.precision.kind == "matrix" for p in parts):
        wanted = {"tau": "Wishart", "cov": "InverseWishart"}
        form = wanted.get(parts[0].factor.precision.form, "no rule")
        return natural_family(distribution, form, set()), False
    exponents = {p.exponent for p in parts}
    if distribution.family in HALF_T:
        if {abs(e) for e in exponents} == {2.0}:
            return GammaFamily("HalfNormal", 2.0), True
        return f"{distribution} is conjugate through its mixture on a standard deviation only", False
    return natural_family(distribution, "Gamma", exponents), False


class PlainScales:
    """Scales that can be drawn all at once: gamma on a precision or inverse gamma on a variance, priors known.

    Each precision ``u = scale**exponent`` is ``Gamma(shape, rate)``; the rate is linear in the block's sums of squares.
    """

    def __init__(self, problem: Problem, scales: list[BlockScale], columns: int) -> None:
        self.scales = scales
        shape: list[Array] = []
        rate: list[Array] = []
        weights: list[Array] = []
        self.exponents: list[float] = []
        self.places: list[slice] = []
        start = 0
        for scale in scales:
            size, exponent = scale.latent.size, scale.parts[0].exponent
            assert isinstance(scale.family, GammaFamily)
            raw = scale.family.prior(*scale.latent.prior.parameter_arrays(problem.env))
            p, a, b = (np.broadcast_to(n.reshape(n.shape[0], -1)[0], (size,)).copy() for n in raw)
            own, slope = (p, 0.5 * a) if exponent > 0 else (-p, 0.5 * b)
            weight = np.zeros((columns, size))
            for part in scale.parts:
                own = own + 0.5 * part.factor.precision.counts
                weight[part.columns] += 0.5 * np.eye(size)
            self.places.append(slice(start, start + size))
            start += size
            self.exponents.append(1.0 / exponent)
            shape.append(own)
            rate.append(slope)
            weights.append(weight)
        self.shape, self.rate = (np.concatenate(v) if v else np.zeros(0) for v in (shape, rate))
        self.weights = np.concatenate(weights, axis=1) if weights else np.zeros((columns, 0))

    @staticmethod
    def fits(problem: Problem, scale: BlockScale) -> bool:
        """Whether a scale is plain."""
        family = scale.family
        if not isinstance(family, GammaFamily) or family.truncated or scale.is_half_t or family.power != 1.0:
            return False
        exponents = {p.exponent for p in scale.parts}
        kinds = {"Gamma": 1.0, "Exponential": 1.0, "ChiSquared": 1.0, "InverseGamma": -1.0}
        dims = list(scale.latent.variable.dims)
        aligned = all(p.coefficient is ONE and list(p.factor.precision.dims) == dims for p in scale.parts)
        aligned &= all(list(p.positions.values()) == dims for p in scale.parts)
        known = scale.latent.prior.parents <= problem.env.keys()
        return aligned and known and len(exponents) == 1 and kinds.get(family.kind) == next(iter(exponents))

    def draw(self, sums: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Draw every scale of every chain."""
        rate = sums @ self.weights
        rate += self.rate
        u = standard_gamma(rng, self.shape, rate.shape) / rate
        return {
            s.latent.name: (1.0 / u[:, place] if power == -1.0 else u[:, place] ** power).reshape(-1, *s.latent.shape)
            for s, place, power in zip(self.scales, self.places, self.exponents, strict=True)
        }
