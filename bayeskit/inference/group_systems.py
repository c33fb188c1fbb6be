"""The small systems of independent Gaussian groups: sums of their rows, and what these say at given precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayeskit.conjugate.small_matrices import Square, cholesky, inverse_lower, sum_of
from bayeskit.inference.block_factors import BlockFactor

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums of the rows of some factors by group.

    Attributes
    ----------
    A, h, vv : array
        ``(groups, k, k)``, ``(groups, k)`` and ``(groups,)``.
    rows, log_det : array (groups,)
        How many rows each group has, and the sum of half the logs of their known precisions.
    factor : BlockFactor or None
        Whose latent precision scales them; None where all is known.
    cell : array (groups,)
        The noise cell of each group.
    """

    A: Array
    h: Array
    vv: Array
    rows: Array
    log_det: Array
    factor: BlockFactor | None
    cell: Array

    def of(self, groups: Array | slice) -> GroupSums:
        """Return the sums of some groups, apart from their factor."""
        own = {name: getattr(self, name)[groups] for name in ("A", "h", "vv", "rows", "log_det", "cell")}
        return replace(self, factor=None, **own)


@dataclass(frozen=True, eq=False)
class Solved:
    """Systems of some batch entries: inverse lower factors and forward-solved right-hand sides."""

    root: Square
    x: list[Array]
    log_det: Array
    squares: Array
    size: Array


@dataclass(frozen=True, eq=False)
class GroupSystems:
    """Systems of ``k`` unknowns a group.

    Attributes
    ----------
    fixed, moving : list of GroupSums
        Sums of rows whose precisions are known, and of those that latent precisions scale.
    pilot : array (groups, k)
        What the sums are taken about.
    """

    fixed: list[GroupSums]
    moving: list[GroupSums]
    pilot: Array

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.pilot)

    @property
    def width(self) -> int:
        """How many unknowns a group has."""
        return int(self.pilot.shape[1])

    def of(self, groups: Array | slice) -> GroupSystems:
        """Return the systems of some groups."""
        return GroupSystems(
            [part.of(groups) for part in self.fixed], [part.of(groups) for part in self.moving], self.pilot[groups]
        )

    def solve(self, values: list[Array]) -> Solved:
        """Solve them at the precisions of the moving rows, ``(batch, groups)`` each."""
        k = self.width

        def summed(pick: str, *index: int) -> Array:
            terms = [getattr(p, pick)[(slice(None), *index)] for p in self.fixed]
            total = sum(terms, start=np.zeros(self.groups))[None]
            for part, value in zip(self.moving, values, strict=True):
                total = total + value * getattr(part, pick)[(slice(None), *index)]
            return np.asarray(total)

        with np.errstate(all="ignore"):
            L = cholesky([[summed("A", i, j) for j in range(i + 1)] for i in range(k)])
            root = inverse_lower(L)
            h = [summed("h", i) for i in range(k)]
            x = [sum_of([root[i][j] * h[j] for j in range(i + 1)]) for i in range(k)]
            size = summed("vv")
            squares = size - sum_of([xi * xi for xi in x])
            log_det = 2.0 * sum_of([np.log(L[i][i]) for i in range(k)])
        return Solved(root, x, log_det, squares, size)

    def moments(self, values: list[Array], unknowns: Sequence[int]) -> tuple[Array, Array]:
        """Return means and variances of some unknowns of every group: each ``(unknowns, batch, groups)``."""
        k, system = self.width, self.solve(values)
        mean = [sum_of([system.root[n][i] * system.x[n] for n in range(i, k)]) + self.pilot[:, i] for i in unknowns]
        variance = [sum_of([system.root[n][i] ** 2 for n in range(i, k)]) for i in unknowns]
        return np.stack(mean), np.stack(variance)
