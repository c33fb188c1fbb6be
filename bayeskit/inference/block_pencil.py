r"""A dense Gaussian block at many precisions at once, where they scale two matrices: both are diagonalised once.

A regression with one noise has the precision :math:`\Lambda = p B + q S`, of its priors and of its rows. With
:math:`T' B T = I` and :math:`T' S T = \mathrm{diag}(d)` it is :math:`T'^{-1} \mathrm{diag}(p + q d) T^{-1}`, whatever p
and q are: what took a Cholesky factor a draw takes a few numbers and one matrix product for all draws.
Source: Golub and Van Loan (2013), Matrix Computations, 4th ed., sec. 8.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, eigh

from bayeskit.inference.block_classes import LOG_2PI, trusted

if TYPE_CHECKING:
    from bayeskit.inference.block import GaussianBlock

Array = np.ndarray
_LOST = 1e-10  # relative error of an eigenvalue that is as good as none


@dataclass(frozen=True, eq=False)
class BlockPencil:
    """The systems ``p B + q S`` of a block, diagonalised.

    Attributes
    ----------
    block : GaussianBlock
        A block of dense unknowns without loose factors.
    rows : tuple of two int
        Which rows of the precisions (a row of ones, then the block's own) are p and q.
    T : array (r, r)
        Takes independent unknowns to those of the block.
    d : array (r, 1)
        Of S, where B is the identity.
    h, vv : tuple of two arrays
        The right-hand sides ``T' h``, each ``(r, 1)``, and the squares, of B and of S.
    log_det : float
        That of B.
    """

    block: GaussianBlock
    rows: tuple[int, int]
    T: Array
    d: Array
    h: tuple[Array, Array]
    vv: tuple[float, float]
    log_det: float

    @property
    def cost(self) -> int:
        """Numbers held for every entry of a batch."""
        return 4 * len(self.d)

    def _system(self, precisions: Array) -> tuple[Array, Array, Array]:
        """Return the diagonal and the right-hand side ``(r, batch)``, and which to trust ``(batch,)``."""
        p, q = (np.ones(precisions.shape[1]) if row == 0 else precisions[row - 1] for row in self.rows)
        diagonal = p + q * self.d
        error = np.finfo(float).eps * len(self.d) * (p + q * self.d[-1])
        good = (diagonal > error / _LOST).all(axis=0)
        return diagonal, p * self.h[0] + q * self.h[1], good

    def log_integral(self, precisions: Array) -> tuple[Array, Array]:
        """Return the log of the integral over the block but for constants, and where to trust it: ``(batch,)``."""
        with np.errstate(all="ignore"):
            diagonal, right, good = self._system(precisions)
            p, q = (1.0 if row == 0 else precisions[row - 1] for row in self.rows)
            size = p * self.vv[0] + q * self.vv[1] + np.zeros(precisions.shape[1])
            squares = trusted(size - (right * right / diagonal).sum(axis=0), size)
            return -0.5 * (squares + np.log(diagonal).sum(axis=0) + self.log_det), good

    def draw(self, precisions: Array, rng: np.random.Generator, about: Array) -> tuple[Array, Array, Array]:
        """Return draws ``(batch, columns)`` about some columns, their log density, and which to trust."""
        z = rng.standard_normal((precisions.shape[1], len(self.d))).T
        with np.errstate(all="ignore"):
            diagonal, right, good = self._system(precisions)
            x = (right / diagonal + z / np.sqrt(diagonal)).T @ self.T.T
            log_det = np.log(diagonal).sum(axis=0) + self.log_det
        x = self.block.layout.gather(np.zeros((len(x), 0, 0)), x) + about
        return x, 0.5 * (log_det - np.einsum("rb,rb->b", z, z) - self.block.total * LOG_2PI), good


def block_pencil(block: GaussianBlock) -> BlockPencil | None:
    """Return a block's two matrices diagonalised; None where they are more, or none of them is definite."""
    layout, fixed = block.layout, block.summary.fixed
    rows = ([0] if fixed.any() else []) + [1 + i for i in range(len(block.sums))]
    if layout.groups or not layout.rest or not block.is_static or len(rows) != 2:
        return None
    flat = np.stack([fixed if row == 0 else block.sums[row - 1] for row in rows])
    _, _, E = layout.augmented(flat)
    for order in ([0, 1], [1, 0]):
        (B, S), vectors, vv = E[order, :-1, :-1], E[order, :-1, -1:], E[order, -1, -1]
        try:
            d, T = eigh(S, B)
        except LinAlgError:
            continue
        first, second = (T.T @ h for h in vectors)
        log_det = -2.0 * float(np.linalg.slogdet(T)[1])
        p, q = (rows[i] for i in order)
        return BlockPencil(
            block, (p, q), T, np.maximum(d, 0.0)[:, None], (first, second), (float(vv[0]), float(vv[1])), log_det
        )
    return None
