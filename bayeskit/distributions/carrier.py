"""What is left of a log density once its parameters are taken out: a number."""

from __future__ import annotations

from typing import Any

from bayeskit.distributions.base import Array, Distribution

__all__ = ["Carrier"]


class Carrier(Distribution):
    """A term of a log density that depends on no parameter: it is the value itself.

    Where rows are added up (counts of equal rate, say) the sums have another constant than the rows; this is the
    difference. It is no distribution to state a model with.
    """

    def __init__(self) -> None:
        self._assign()

    def _log_prob(self, x: Array) -> Any:
        return x
