r"""Missing entries of multivariate normal vectors, drawn given the entries that are known.

With precision ``T`` and the entries of a vector split into missing ``m`` and known ``o``:

.. math:: y_m \mid y_o \sim N\bigl(\mu_m - T_{mm}^{-1} T_{mo} (y_o - \mu_o),\; T_{mm}^{-1}\bigr).

Vectors that miss the same entries are drawn together. Source: Little and Rubin (2019), sec. 11.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayeskit.conjugate.arrow import backward, cholesky, forward
from bayeskit.expressions.structure import Scatter
from bayeskit.inference.conjugacy import Refusal
from bayeskit.model.problem import Factor, Problem

Array = np.ndarray
Environment = Mapping[str, Array]


def missing_vectors(problem: Problem, name: str) -> MissingVectors | Refusal:
    """Return the step that draws missing entries of vectors, where nothing else depends on them."""
    latent = problem.latents[name]
    factor = latent.prior
    if latent.missing_from is None or factor.distribution.family != "MvNormal":
        return Refusal("it is not a missing entry of a multivariate normal vector")
    others = [c.name for c in problem.factors_of([name]) if c is not factor]
    if others or problem.terms_of(name):
        return Refusal(f"'{(others or problem.terms_of(name))[0]}' depends on it too")
    return MissingVectors(factor, name)


class MissingVectors:
    """Draw the missing entries of a factor's vectors, pattern by pattern."""

    def __init__(self, factor: Factor, name: str) -> None:
        self.factor = factor
        self.names: tuple[str, ...] = (name,)
        self.label = f"conjugate step: missing entries of '{factor.name}' given the known ones of the same vector"
        assert isinstance(factor.value, Scatter)
        n, d = int(np.prod(factor.shape, dtype=int)), factor.sizes[factor.event[0]]
        place = np.full(n * d, -1)
        place[factor.value.cells] = np.arange(len(factor.value.cells))
        self.place = place.reshape(n, d)  # which unknown fills a cell; -1 where it is known
        self.known = factor.value.known.reshape(n, d)
        masks, codes = np.unique(self.place >= 0, axis=0, return_inverse=True)
        self.patterns = [(mask, np.flatnonzero(codes.ravel() == i)) for i, mask in enumerate(masks) if mask.any()]

    def start(self, env: Environment, chains: int) -> None:
        """Learn nothing."""

    def update(
        self, env: Environment, rng: np.random.Generator, chains: int, learnt: Any, tuning: bool
    ) -> tuple[dict[str, Array], Any, dict[str, Array]]:
        """Draw."""
        n, d = self.known.shape
        names = [p.name for p in self.factor.distribution.parameters]
        arrays = dict(zip(names, self.factor.parameter_arrays(env), strict=True))
        mean = np.asarray(arrays["mu"])
        mean = np.broadcast_to(mean, (len(mean), *self.factor.shape, d)).reshape(len(mean), n, d)
        precision = self._precision(arrays, n, d)
        result = np.empty((chains, int(self.place.max()) + 1))
        for mask, rows in self.patterns:
            T = precision if precision.shape[1] == 1 else precision[:, rows]
            e = self.known[rows][:, ~mask] - mean[:, rows][:, :, ~mask]
            pull = (T[..., mask, :][..., ~mask] @ e[..., None])[..., 0]
            z = rng.standard_normal((chains, len(rows), int(mask.sum())))
            L = cholesky(np.ascontiguousarray(T[..., mask, :][..., mask]))
            L = np.broadcast_to(L, (chains, len(rows), *L.shape[-2:]))
            step = backward(L, z - forward(L, np.broadcast_to(pull, z.shape)))
            drawn = mean[:, rows][:, :, mask] + step
            result[:, self.place[rows][:, mask].ravel()] = drawn.reshape(chains, -1)
        return {self.names[0]: result}, None, {}

    def _precision(self, arrays: Mapping[str, Array], n: int, d: int) -> Array:
        """Return the precision matrices, ``(batch, vectors or 1, d, d)``."""
        if "tau" in arrays:
            T = np.asarray(arrays["tau"])
        else:
            root = np.linalg.cholesky(arrays["cov"]) if "cov" in arrays else np.asarray(arrays["cholesky"])
            half = np.linalg.solve(root, np.broadcast_to(np.eye(d), root.shape))
            T = np.swapaxes(half, -1, -2) @ half
        lead = T.shape[1:-2]
        if int(np.prod(lead, dtype=int)) > 1:
            T = np.broadcast_to(T, (len(T), *self.factor.shape, d, d))
        return T.reshape(len(T), -1, d, d)
