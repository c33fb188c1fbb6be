"""Weights of a linear expression, by evaluating it at unit vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeskit.expressions import Expression
from bayeskit.model.problem import Problem

Array = np.ndarray


def linear_weights(
    problem: Problem, expression: Expression, latents: Sequence[str], sizes: Mapping[str, int]
) -> tuple[dict[str, Array], Array]:
    """Return weights by latent ``(cells, *dims)`` and the offset ``(cells,)`` of a linear expression."""
    cells = int(np.prod([sizes[d] for d in expression.dims], dtype=int))
    zero = {n: np.zeros((1, *problem.latents[n].shape)) for n in latents}
    offset = np.asarray(expression.evaluate({**problem.env, **zero}), dtype=float).reshape(-1)
    weights = {}
    for n in latents:
        size = problem.latents[n].size
        unit = np.eye(size).reshape(size, *problem.latents[n].shape)
        value = np.asarray(expression.evaluate({**problem.env, **zero, n: unit}), dtype=float)
        value = np.broadcast_to(value.reshape(value.shape[0], -1), (size, cells)) - offset
        weights[n] = value.T.reshape(cells, *problem.latents[n].shape)
    return weights, np.broadcast_to(offset, (cells,))
