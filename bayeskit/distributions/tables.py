"""Shares and counts of the cells of a table: one event over two dims, its cells one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeskit.distributions.base import Array, Distribution
from bayeskit.distributions.binomial import trials
from bayeskit.distributions.dirichlet import Dirichlet, concentration
from bayeskit.distributions.domains import Domain, Parameter, real, simplex
from bayeskit.distributions.multinomial import Multinomial

__all__ = ["DirichletTable", "MultinomialTable", "by_cell"]

# kernels alone: their own parameters mean nothing
_DIRICHLET, _MULTINOMIAL, _LINKED = Dirichlet([1.0]), Multinomial(1, [1.0]), Multinomial(1, logit=[0.0])


def by_cell(x: Any) -> Array:
    """Lay the cells of tables, on the last two axes, one after the other; a number serves them all."""
    x = np.asarray(x)
    if x.ndim < 2:
        return x
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _of_table(parameter: Parameter) -> Parameter:
    """Return the parameter of one event as that of a table."""
    domain = parameter.domain
    if domain.event_ndim == 1:
        domain = Domain(domain.name, domain.text, lambda x: parameter.domain.outside(by_cell(x)), event_ndim=2)
    return Parameter(parameter.name, domain, event_ndim=2)


class _Table:
    """What both share: kernels by cell, and answers of the shape of a table."""

    event_ndim = 2
    square = False

    @property
    def _cells(self) -> Distribution:
        """The family of the cells one after the other, for its kernels."""
        raise NotImplementedError  # pragma: no cover - both have theirs

    def _by_cell(self, kernel: str, x: Any, *params: Any) -> Array:
        *others, table = params
        first = () if x is None else (by_cell(x),)
        answer = np.asarray(getattr(self._cells, kernel)(*first, *others, by_cell(table)))
        return answer.reshape(*answer.shape[:-1], *np.shape(table)[-2:])

    def _log_prob(self, x: Any, *params: Any) -> Any:
        return self._cells._log_prob(by_cell(x), *params[:-1], by_cell(params[-1]))

    def _outside(self, x: Any, *params: Any) -> Any:
        return self._cells._outside(by_cell(x), *params[:-1], by_cell(params[-1]))

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Any) -> Any:
        cells = self._cells._sample(rng, shape, *params[:-1], by_cell(params[-1]))
        return cells.reshape(*cells.shape[:-1], *np.shape(params[-1])[-2:])

    def _mean(self, *params: Any) -> Any:
        return self._by_cell("_mean", None, *params)

    def _var(self, *params: Any) -> Any:
        return self._by_cell("_var", None, *params)

    def _mode(self, *params: Any) -> Any:
        return self._by_cell("_mode", None, *params)

    def _cdf(self, x: Any, *params: Any) -> Any:
        return self._by_cell("_cdf", x, *params)

    def _quantile(self, q: Any, *params: Any) -> Any:
        return self._by_cell("_quantile", q, *params)


class DirichletTable(_Table, Dirichlet):
    """Dirichlet over the cells of a table: what ``Dirichlet`` of a matrix of concentrations is."""

    parameters = (_of_table(concentration),)
    support = "the tables of shares that sum to 1"
    support_kind = "simplex_table"

    @property
    def _cells(self) -> Distribution:
        return _DIRICHLET

    @property
    def family(self) -> str:
        """Name of the family, as it is written."""
        return "Dirichlet"


class MultinomialTable(_Table, Multinomial):
    """Multinomial over the cells of a table: what ``Multinomial`` of probabilities over two dims is."""

    variants = (
        (trials, _of_table(Parameter("p", simplex, event_ndim=1))),
        (trials, _of_table(Parameter("logit", real, event_ndim=1))),
    )
    parameters = variants[0]
    support = "the tables of counts that sum to n"

    @property
    def _cells(self) -> Distribution:
        return _LINKED if "logit" in self.canonical else _MULTINOMIAL

    @property
    def family(self) -> str:
        """Name of the family, as it is written."""
        return "Multinomial"
