"""Some continuous latents as one unconstrained vector, with the log density of their conditional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayeskit.distributions.transforms import Identity, Transform, transform_of
from bayeskit.model.problem import Problem

Array = np.ndarray
Environment = Mapping[str, Array]
_WITHOUT_ENDS = ("simplex", "positive_definite", "real_vector", "real_matrix", "simplex_table")


def log_jacobian(transform: Transform, u: Array, x: Array) -> Array:
    """Return the log Jacobian at `u`, and -inf where ``x = inverse(u)`` was rounded to its bound.

    From there no way leads back to the unconstrained scale, so a chain must not enter: of a probability the last 1e-16
    below one, of a number between -10 and -1e-5 the last 1e-15.
    """
    total = transform.log_jacobian(u)
    if isinstance(transform, Identity):
        return total
    try:
        back = np.isfinite(transform.forward(x))
    except np.linalg.LinAlgError:  # a matrix is singular but for rounding: it is found one by one
        tail = u.shape[total.ndim :]
        rows = zip(u.reshape(-1, *tail), x.reshape(total.size, *x.shape[total.ndim :]), strict=True)
        back = np.array([_leads_back(transform, *row) for row in rows])
    return np.where(back.reshape(*total.shape, -1).all(axis=-1), total, -np.inf)


def _leads_back(transform: Transform, u: Array, x: Array) -> bool:
    try:
        return bool(np.isfinite(transform.forward(x)).all())
    except np.linalg.LinAlgError:
        return False


class Unconstrained:
    """Latents packed into vectors ``(chain, d)`` on the unconstrained scale.

    A bound that depends on other latents of the vector is read at their new values: they come in the order in which
    they were declared, so that a parent is unpacked before its children. No bound may depend on the latents that are
    ``integrated`` out; other parameters may.
    """

    def __init__(self, problem: Problem, names: Sequence[str], integrated: Sequence[str] = ()) -> None:
        self.problem = problem
        self.names = [n for n in problem.latents if n in set(names)]
        self._unknown = {n: np.full((1, *problem.latents[n].shape), np.nan) for n in integrated}
        self.factors = problem.factors_of(self.names)
        self.has_terms = any(problem.terms_of(n) for n in self.names)
        self._still = {
            n: transform_of(p.distribution, *p.parameter_arrays(problem.env))
            for n, p in ((n, problem.latents[n].prior) for n in self.names)
            if p.parents <= problem.env.keys()
        }  # transforms that no state moves

    def pack(self, env: Environment) -> Array:
        """Return the vector of the state's values."""
        parts = []
        for name in self.names:
            u = self.transform(name, env).forward(env[name])
            parts.append(u.reshape(u.shape[0], -1))
        return np.concatenate(parts, axis=1)

    def sizes(self, env: Environment) -> dict[str, int]:
        """Return how many numbers of the vector each latent takes, in its order."""
        return {n: self.transform(n, env).forward(env[n])[0].size for n in self.names}

    def unpack(self, vector: Array, env: Environment) -> tuple[dict[str, Array], Array]:
        """Return the latents by name and the log Jacobian ``(chain,)``."""
        values: dict[str, Array] = {}
        state = dict(env)
        total = np.zeros(vector.shape[0])
        start = 0
        for name in self.names:
            latent = self.problem.latents[name]
            transform = self.transform(name, state)
            event = len(latent.prior.event) if latent.missing_from is None else 0
            head, tail = latent.shape[: len(latent.shape) - event], latent.shape[len(latent.shape) - event :]
            shape = (*head, *transform.unconstrained_event_shape(tail))
            size = int(np.prod(shape, dtype=int))
            u = vector[:, start : start + size].reshape(vector.shape[0], *shape)
            start += size
            values[name] = state[name] = transform.inverse(u)
            jacobian = log_jacobian(transform, u, values[name])
            total = total + jacobian.reshape(jacobian.shape[0], -1).sum(axis=1)
        return values, total

    def log_density(self, vector: Array, env: Environment) -> Array:
        """Return the log density of the conditional on the unconstrained scale: ``(chain,)``."""
        values, total = self.unpack(vector, env)
        state = {**env, **values}
        for factor in self.factors:
            total = total + factor.total(state)
        if self.has_terms:
            total = total + self.problem.extra_log_density(state)
        return np.where(np.isnan(total), -np.inf, total)

    def transform(self, name: str, env: Environment) -> Transform:
        """Return the transform of one of the latents, its bounds read in a state."""
        if name in self._still:
            return self._still[name]
        prior = self.problem.latents[name].prior
        return transform_of(prior.distribution, *prior.parameter_arrays({**self._unknown, **env}))


def bounds_depend_on(problem: Problem, child: str, parent: str) -> bool:
    """Whether the ends of a latent's support move with another latent: an unknown parent leaves them unknown."""
    prior = problem.latents[child].prior
    if getattr(prior.distribution, "support_kind", None) in _WITHOUT_ENDS:
        return False
    others = {n: np.ones((1, *problem.latents[n].shape)) for n in prior.parents if n in problem.latents}
    discrete = [n for n in others if problem.latents[n].prior.distribution.discrete]
    others |= {n: np.zeros(others[n].shape, dtype=int) for n in discrete}
    others[parent] = np.full(others[parent].shape, np.nan)
    with np.errstate(all="ignore"):
        ends = prior.distribution._bounds(*prior.parameter_arrays({**problem.env, **others}))
    return any(bool(np.isnan(end).any()) for end in ends)
