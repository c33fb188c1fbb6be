"""Gaussian elimination in fractions: what floats are compared with where they lose digits."""

import math
from fractions import Fraction


def log_of(q):
    """Log of a positive fraction of any size."""
    shift = q.numerator.bit_length() - q.denominator.bit_length()
    return math.log(q / Fraction(2) ** shift) + shift * math.log(2)


def eliminate(matrix, right):
    """Log determinant of a positive definite matrix of fractions, and the solution."""
    n = len(matrix)
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    log_det = 0.0
    for i in range(n):
        log_det += log_of(rows[i][i])
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    x = [Fraction(0)] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - sum(rows[i][j] * x[j] for j in range(i + 1, n))) / rows[i][i]
    return log_det, x


def log_normal_density(y, cov):
    """Log density of y under N(0, cov), everything in fractions."""
    log_det, solved = eliminate(cov, y)
    square = sum(a * b for a, b in zip(y, solved, strict=True))
    return -0.5 * (float(square) + log_det + len(y) * math.log(2 * math.pi))
