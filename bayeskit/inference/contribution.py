"""What one child adds to the natural parameters of its parent, by one row of the table of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeskit.conjugate.families import Naturals, joins
from bayeskit.conjugate.pull_back import pull_back
from bayeskit.conjugate.rules import Rule
from bayeskit.distributions.tables import by_cell
from bayeskit.expressions import Expression, aligner
from bayeskit.expressions.linear import Position
from bayeskit.model.problem import Factor

Array = np.ndarray
Environment = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Contribution:
    """One child read through one row: what it adds, as a function of the state."""

    factor: Factor
    rule: Rule
    coefficient: Expression
    offset: Expression
    positions: Mapping[str, Position]
    exponent: float = 1.0
    swapped: bool = False

    @property
    def label(self) -> str:
        """How ``explain`` names the row."""
        note = getattr(self.factor.distribution, "note", "")  # what became of the rows before they were read
        return f"{self.factor.distribution.family}({self.rule.parameter}) of '{self.factor.name}'{note}"

    def variables(self, target: str) -> frozenset[str]:
        """Return the names its value depends on (the target itself left out)."""
        names = self.factor.variables - {target}
        for p in self.positions.values():
            names = names | (frozenset() if isinstance(p, str) else p.variables)
        return names

    def arrays(self, env: Environment) -> tuple[dict[str, Array], Array, Array, tuple[str, ...]]:
        """Return the other parameters, the coefficient and the offset, laid along the frame; and the frame's dims."""
        factor, rule = self.factor, self.rule
        names = [p.name for p in factor.distribution.parameters]
        others = {
            n: lay(e.evaluate(env))
            for n, lay, e in zip(names, factor._aligners, factor.parameters, strict=True)
            if n != rule.parameter
        }
        layout = factor.layouts[names.index(rule.parameter)]
        coefficient = aligner(self.coefficient.dims, layout)(np.asarray(self.coefficient.evaluate(env), dtype=float))
        offset = aligner(self.offset.dims, layout)(np.asarray(self.offset.evaluate(env), dtype=float))
        if rule.form == "power" and (rule.exponent != 1.0 or rule.times):
            coefficient = coefficient ** (rule.exponent * others[rule.times] if rule.times else rule.exponent)
        return others, coefficient, offset, layout

    def _pieces(self, env: Environment) -> tuple[Array, dict[str, Array], Array, tuple[str, ...]]:
        """Return the value as its row reads it, the other parameters, the coefficient, and the dims of the frame."""
        others, coefficient, offset, layout = self.arrays(env)
        return self.rule.centred(self.factor.value_array(env), offset), others, coefficient, layout

    def evaluate(self, env: Environment, sizes: Mapping[str, int]) -> Naturals:
        """Return what the child adds to the parent's natural parameters: each ``(batch, *dims of the parent)``."""
        value, others, coefficient, layout = self._pieces(env)
        parts = self.rule.contribution(value, others, coefficient)
        if self.swapped:
            parts = parts[::-1]
        frame = layout if self.rule.child == "Multinomial" else self.factor.plates
        positions = {
            d: p if isinstance(p, str) else (_codes(p.evaluate(env)), p.dims) for d, p in self.positions.items()
        }
        if self.rule.child == "Categorical":
            positions[list(positions)[-1]] = (_codes(value), self.factor.plates)
        if self.rule.form == "matrix":
            positions = dict(list(positions.items())[:-2])
        shape = tuple(self.factor.sizes[d] for d in frame)
        by = joins(self.rule.prior, len(parts))
        return tuple(self._sum(p, frame, shape, positions, sizes, j) for p, j in zip(parts, by, strict=True))

    def _sum(
        self,
        part: Array,
        frame: tuple[str, ...],
        shape: tuple[int, ...],
        positions: Mapping[str, str | tuple[Array, tuple[str, ...]]],
        sizes: Mapping[str, int],
        join: np.ufunc,
    ) -> Array:
        part = np.asarray(part, dtype=float)
        keep = part.ndim - 1 - len(frame) if self.rule.form == "matrix" else 0
        part = np.broadcast_to(part, (part.shape[0] if part.ndim else 1, *shape, *part.shape[part.ndim - keep :]))
        if join is np.add:
            part = self.factor.weighed(part)
        else:  # how often a cell occurs does not matter, if it does
            part = np.where(self.factor.weighed(np.ones(part.shape)) > 0, part, -np.inf)
        return pull_back(part, frame, positions, sizes, keep, join)

    def base_cells(self, env: Environment) -> Array:
        """Return the part of each cell's log density that does not depend on the parent: ``(batch, *plates)``."""
        value, others, coefficient, _ = self._pieces(env)
        if self.rule.child == "Multinomial" and len(self.factor.event) == 2:
            value = by_cell(value)
        base = np.asarray(
            self.rule.base(value, others, coefficient) + self.rule.log_jacobian(self.factor.value_array(env))
        )
        return self.factor.weighed(np.broadcast_to(base, (base.shape[0], *self.factor.shape)))

    def base(self, env: Environment) -> Array:
        """Return the sum of the child's log density that does not depend on the parent: ``(batch,)``."""
        cells = self.base_cells(env)
        return cells.reshape(cells.shape[0], -1).sum(axis=1)


def _codes(values: Array) -> Array:
    return values if values.dtype.kind in "iu" else values.astype(np.int64)
