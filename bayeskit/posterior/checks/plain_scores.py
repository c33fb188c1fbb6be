"""Rows whose density depends on nothing that is integrated out: given the rest they are independent of the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayeskit.model.problem import Factor
from bayeskit.posterior.checks.conjugate_scores import sum_by
from bayeskit.posterior.checks.rows import Groups

Array = np.ndarray
Environment = Mapping[str, Array]


class PlainScores:
    """Scores of the rows of one factor given all latents that it depends on: their log likelihood, in or out."""

    def __init__(self, factor: Factor, groups: Groups) -> None:
        group = groups.group_of(factor)
        assert group is not None
        self.factor, self.groups, self.group = factor, groups, group
        self.cost = 3 * len(group)
        self.work, self.memory = float(self.cost), self.cost

    def score(self, env: Environment) -> tuple[Array, Array]:
        """Return the log likelihood of the groups, twice: ``(batch, groups)``."""
        cells = self.factor.log_prob(env)
        found = sum_by(cells.reshape(len(cells), -1), self.group, self.groups.count)
        return found, found

    def sequence(self, env: Environment, upto: int) -> Array:
        """Return the log likelihood of the groups: ``(batch, groups)``."""
        return self.score(env)[0]
