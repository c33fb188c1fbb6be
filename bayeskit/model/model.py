"""Model: the statements of a user, checked as they are written. A model is never changed by data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.distributions import Distribution
from bayeskit.errors import ModelError
from bayeskit.expressions import Expression, Variable, as_expression
from bayeskit.model.labels import as_labels, is_unknown, keys
from bayeskit.model.printing import print_model
from bayeskit.model.statements import (
    DataColumn,
    DensityTerm,
    Derived,
    IndexColumn,
    RandomVariable,
    random_variable,
)

if TYPE_CHECKING:
    import xarray as xr

    from bayeskit.posterior import Posterior, SufficientStatistics

Dims = str | Sequence[str] | None
_RESERVED = {"chain", "draw", "sample", "pred_id"}


class Model:
    """A Bayesian model: data, unknowns with priors, and observations with likelihoods.

    Parameters
    ----------
    coords : mapping, optional
        From the name of a dim to its labels; an integer ``K`` is short for ``range(K)``. A dim that is not named here
        gets its size from the data.

    Examples
    --------
    >>> import bayeskit as bk
    >>> m = bk.Model(coords={"arm": ["A", "B"]})
    >>> n = m.data("n", dims="arm")
    >>> p = m.latent("p", bk.Beta(1, 1), dims="arm")
    >>> y = m.observed("y", bk.Binomial(n, p), dims="arm")
    >>> print(m)
    p[arm] ~ Beta(1, 1)
    y[arm] ~ Binomial(n, p)
    """

    def __init__(self, coords: Mapping[str, Any] | None = None) -> None:
        self.coords = {str(d): _labels(d, labels) for d, labels in (coords or {}).items()}
        self.columns: dict[str, DataColumn | IndexColumn] = {}
        self.random: dict[str, RandomVariable] = {}
        self.derivations: dict[str, Derived] = {}
        self.terms: dict[str, DensityTerm] = {}
        self._order: dict[str, None] = {}

    # ---- the five verbs -----------------------------------------------------------------------------------------
    def data(self, name: str, *, dims: Dims = ()) -> Variable:
        """Declare known numbers; their values arrive in ``condition``."""
        variable = Variable(self._new(name, dims), _dims(name, dims), owner=self, integer=True)
        self.columns[name] = DataColumn(name, variable)
        return variable

    def index(self, name: str, *, dims: Dims, into: str | None = None) -> Variable:
        """Declare a categorical column whose labels point into a dim: ``into``, by default ``name`` itself."""
        own = _dims(name, dims)
        target = name if into is None else into
        if not isinstance(target, str) or not target.isidentifier():
            raise ModelError(f"The index '{name}' must point into a dim. Got into={into!r}. Write the name of the dim.")
        if target in own:
            raise ModelError(
                f"The index '{name}' must point into another dim than its own. Got into={target!r} with dims {own}. "
                "Name the dim of the rows differently, such as 'obs'."
            )
        self._new(name, dims, names_a_dim=target == name)
        if target != name:
            self._check_dims(name, (target,))
        variable = Variable(name, own, owner=self, integer=True, into=target)
        self.columns[name] = IndexColumn(name, variable, target)
        return variable

    def latent(self, name: str, distribution: Distribution, *, dims: Dims = ()) -> Variable:
        """Declare an unknown with its prior."""
        return self._random(name, distribution, dims, observed=False)

    def observed(self, name: str, distribution: Distribution, *, dims: Dims = ()) -> Variable:
        """Declare an observation with its likelihood; NaN among its values makes those entries latent."""
        return self._random(name, distribution, dims, observed=True)

    def derived(self, name: str, expression: Any) -> Expression:
        """Record an expression under a name, to be drawn and summarised with the latents."""
        node = as_expression(expression)
        self._new(name, node.dims)
        self._check_owner(name, [node])
        self.derivations[name] = Derived(name, node)
        return node

    # ---- terms of the density -----------------------------------------------------------------------------------
    def factor(self, name: str, expression: Any) -> None:
        """Add an expression to the log density (summed over its dims); it is not renormalised in the evidence."""
        self._term(name, expression, is_condition=False)

    def require(self, condition: Any) -> None:
        """Restrict the latents to where a condition holds; the density is not renormalised in the evidence."""
        number = 1 + sum(t.is_condition for t in self.terms.values())
        self._term(f"require_{number}", condition, is_condition=True)

    # ---- what is done with a model ------------------------------------------------------------------------------
    def condition(self, data: Any = None, **kwargs: Any) -> Posterior:
        """Bind data and return the posterior; the model is not changed.

        Parameters
        ----------
        data : mapping, xarray.Dataset or table
            Values by name: for every ``data`` and ``index`` column, for the ``observed`` (all of them, or none: then
            the prior is returned as a posterior), and for latents that are known. Tables of pandas, polars or
            pyarrow give columns along the one dim of rows; columns the model does not name are left alone. Large arrays
            are not copied: they must not be changed in place afterwards.
        **kwargs
            Further values by name.

        Raises
        ------
        DataError
            Where values are absent, of the wrong dims or labels, or not finite.
        SupportError
            Where an observation lies outside the support of its distribution.
        """
        from bayeskit.posterior import condition  # the one upward import: a Model answers with a Posterior

        return condition(self, data, **kwargs)

    def summarize(self, data: Any = None, **kwargs: Any) -> SufficientStatistics:
        """Return what the observed rows of some data come down to: ``condition`` takes it in the place of the data.

        Parameters
        ----------
        data : mapping, xarray.Dataset or table
            As for ``condition``, with all of the observed variables, none of them missing in part.

        Returns
        -------
        SufficientStatistics
            It can be merged, subtracted, discounted, and saved.

        Raises
        ------
        RefusedError
            Where rows do not stand for themselves: a parameter or a prior takes them together.
        """
        from bayeskit.posterior import summarize  # upward, as in condition

        return summarize(self, data, **kwargs)

    def simulate(self, data: Any = None, *, draws: int = 1000, seed: Any = None) -> xr.DataTree:
        """Draw everything that is not given from the prior: a DataTree with ``prior`` and ``prior_predictive``."""
        from bayeskit.posterior import simulate

        return simulate(self, data, draws=draws, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as a dictionary that JSON can hold: coords and statements, as they were written.

        Raises
        ------
        RefusedError
            Where a distribution is of a class of the user's own, or a function in an expression neither NumPy's nor
            SciPy's.

        Examples
        --------
        >>> import bayeskit as bk
        >>> m = bk.Model()
        >>> y = m.observed("y", bk.Poisson(m.latent("rate", bk.Gamma(2, 1))))
        >>> m.to_dict()["statements"][1]
        {'observed': 'y', 'dims': [], 'distribution': {'family': 'Poisson', 'parameters': {'mu': 'rate'}}}
        >>> print(bk.Model.from_dict(m.to_dict()))
        rate ~ Gamma(2, 1)
        y ~ Poisson(rate)
        """
        from bayeskit.model.declaration import model_to_dict

        return model_to_dict(self)

    @staticmethod
    def from_dict(written: Mapping[str, Any]) -> Model:
        """Return the model that a dictionary of `to_dict` states.

        Raises
        ------
        DataError
            Where it was written by a later version, or names something that is not known, or lacks something.
        """
        from bayeskit.model.declaration import model_from_dict

        return model_from_dict(written)

    def __str__(self) -> str:
        return print_model(self)

    __repr__ = __str__

    # ---- checks -------------------------------------------------------------------------------------------------
    def names(self) -> Iterable[str]:
        """Return every name that is taken."""
        return [*self.columns, *self.random, *self.derivations, *self.terms]

    def statements(self) -> list[DataColumn | IndexColumn | RandomVariable | Derived | DensityTerm]:
        """Return the statements in the order they were written."""
        stated = {**self.columns, **self.random, **self.derivations, **self.terms}
        return [stated[name] for name in {**self._order, **stated} if name in stated]

    def all_dims(self) -> list[str]:
        """Every dim the model knows by now."""
        found = [d for c in self.columns.values() for d in c.variable.dims]
        found += [c.into for c in self.columns.values() if isinstance(c, IndexColumn)]
        found += [d for r in self.random.values() for lay in (r.dims, *r.layouts) for d in lay]
        return list(dict.fromkeys([*self.coords, *found]))

    def _new(self, name: str, dims: Dims, *, names_a_dim: bool = False) -> str:
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(f"A variable's name must be an identifier such as 'theta_1'. Got {name!r}.")
        if name in _RESERVED:
            raise ModelError(
                f"A variable's name must not be one that ArviZ reserves. Got '{name}'. Choose another one."
            )
        if name in self.names():
            raise ModelError(
                f"A variable's name must be new. Got '{name}', which was declared before. Choose another one."
            )
        self._check_dims(name, _dims(name, dims))
        if not names_a_dim and name in self.all_dims():
            raise ModelError(
                f"A variable's name must not be that of a dim. Got '{name}', which is both. Rename one of them."
            )
        self._order.pop(name, None)  # of a statement that was refused
        self._order[name] = None
        return name

    def _check_dims(self, name: str, dims: Iterable[str]) -> None:
        for dim in dims:
            if dim in _RESERVED:
                raise ModelError(
                    f"The dims of '{name}' must not bear names that ArviZ reserves. Got '{dim}'. Choose another one."
                )
            clash = self.columns.get(dim)
            if dim == name or (dim in self.names() and not (isinstance(clash, IndexColumn) and clash.into == dim)):
                raise ModelError(
                    f"The dims of '{name}' must not bear the names of variables. Got '{dim}', which is both. "
                    "Give one of them another name."
                )

    def _random(self, name: str, distribution: Distribution, dims: Dims, *, observed: bool) -> Variable:
        verb = "observed" if observed else "latent"
        if not isinstance(distribution, Distribution):
            raise ModelError(
                f"m.{verb}('{name}', ...) must get a distribution. Got {distribution!r}. "
                "Write for example bk.Normal(0, 1); an expression is recorded by m.derived."
            )
        self._new(name, dims)
        statement = random_variable(name, distribution, _dims(name, dims), observed=observed, owner=self)
        self._check_owner(name, statement.parameters)
        self._check_dims(name, dict.fromkeys(d for layout in (statement.dims, *statement.layouts) for d in layout))
        self.random[name] = statement
        return statement.variable

    def _check_owner(self, name: str, expressions: Iterable[Expression]) -> None:
        for expression in expressions:
            for variable in expression.owners:
                if variable.owner is not self:
                    raise ModelError(
                        f"'{name}' must depend on variables of its own model. Got '{variable.name}' of another one. "
                        "Declare it in this model."
                    )

    def _term(self, name: str, expression: Any, *, is_condition: bool) -> None:
        node = as_expression(expression)
        self._new(name, ())
        self._check_owner(name, [node])
        self.terms[name] = DensityTerm(name, node, is_condition)


def _dims(name: str, dims: Dims) -> tuple[str, ...]:
    """Dims as a tuple of names."""
    names = (dims,) if isinstance(dims, str) else dims
    result = () if names is None else tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(d, str) and d.isidentifier() for d in result):
        raise ModelError(
            f"The dims of '{name}' must be named. Got {dims!r}. Write dims='obs' or dims=('group', 'time'); sizes come "
            "from the data or from coords."
        )
    if len(set(result)) != len(result):
        raise ModelError(f"The dims of '{name}' must differ. Got {result}. A matrix over 'd' has dims ('d', 'd_').")
    return result


def _labels(dim: object, labels: Any) -> np.ndarray:
    """Return labels of a dim as an array; an integer is a size."""
    if isinstance(labels, int | np.integer) and not isinstance(labels, bool):
        array: np.ndarray = np.arange(int(labels))
    elif isinstance(labels, Iterable) and not isinstance(labels, str | bytes):
        array = as_labels(list(labels)) if isinstance(labels, list | tuple | range) else np.asarray(labels)
    else:
        array = np.zeros(())
    if array.ndim != 1 or array.size == 0:
        raise ModelError(
            f"The labels of the dim '{dim}' must be a list of one or more, or a size. Got {labels!r}. "
            f'Write coords={{"{dim}": ["a", "b"]}} or coords={{"{dim}": 2}}.'
        )
    if len(set(keys(array))) != array.size or any(is_unknown(v) for v in keys(array)):
        raise ModelError(
            f"The labels of the dim '{dim}' must be known and unique. Got {labels!r}. Name each entry once."
        )
    return array
