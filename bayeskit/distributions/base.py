"""Distribution: what every family is.

A family has three layers. *Parameters*: a table of names, domains and alternatives, from which the constructor reads,
validates, prints and compares. *Kernels*: methods with an underscore, NumPy in and NumPy out, never validating, lean.
*Labels*: methods without an underscore, for distributions whose parameters are known, DataArrays out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Never, Self

import numpy as np

from bayeskit.distributions import intervals, labelled, parameters
from bayeskit.distributions.domains import Array, Domain, Parameter
from bayeskit.errors import ParameterError, RefusedError

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Alternative", "Array", "Distribution", "Domain", "Parameter"]

Alternative = tuple[str, Parameter, Callable[[Any], Any]]


class Distribution:
    """Base of all families: an immutable value with parameters, kernels and labelled answers.

    A family states `parameters` (and `alternatives`), an ``__init__`` that hands its arguments to `_assign`, and the
    kernels that exist. In every kernel ``x`` has shape ``(*plates, *event)``, each parameter broadcasts to the plates
    followed by its own event axes, and any leading axes (chains, draws, proposals) are plates too.

    Attributes
    ----------
    parameters : tuple of Parameter
        Canonical parameters, in the order in which kernels take them.
    alternatives : dict
        From another parameter's name to ``(canonical name, Parameter, function)``; the functions consist of operators,
        so that they work on arrays and on expressions.
    event_ndim : int
        Axes of one value: 0 for numbers, 1 for vectors, 2 for matrices.
    discrete : bool
        Whether values are whole numbers.
    symmetric : bool
        Whether the density is symmetric and unimodal, so that the narrowest interval is the central one.
    tabulated : bool
        Whether it has the kernel ``_expect``, the expectation of any function.
    square : bool
        For matrices: whether both axes are the same dim, as those of a covariance.
    support : str
        Completes the sentence "must lie in ..."
    given, canonical : dict
        Parameters as the user wrote them (with finite defaults filled in), and as the kernels take them.

    Examples
    --------
    >>> from bayeskit.distributions import Normal
    >>> print(Normal(0, tau=4), float(Normal(0, tau=4).sd()))
    Normal(0, tau=4) 0.5
    """

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    alternatives: ClassVar[dict[str, Alternative]] = {}
    event_ndim: ClassVar[int] = 0
    discrete: ClassVar[bool] = False
    symmetric: ClassVar[bool] = False
    tabulated: ClassVar[bool] = False
    square: ClassVar[bool] = True
    support: ClassVar[str] = "the real numbers"
    joint_condition: ClassVar[str] = ""
    given: dict[str, Any]
    canonical: dict[str, Any]

    # --- construction -----------------------------------------------------------------------------------------------

    def _assign(self, **values: Any) -> None:
        """Read, validate and keep what the constructor was given; None means not given."""
        given: dict[str, Any] = {}
        canonical: dict[str, Any] = {}
        for parameter in self.parameters:
            routes = self._routes(parameter)
            present = [name for name in routes if values.get(name) is not None]
            if len(present) > 1:
                raise ParameterError(
                    f"{self.family} must be given one of {_quoted(routes)}. Got {_quoted(present)}, which say the "
                    "same thing twice. Keep one."
                )
            if not present and parameter.default is None:
                raise ParameterError(f"{self.family} must be given {_quoted(routes, 'or')}. Got nothing for it.")
            name = present[0] if present else parameter.name
            stated, convert = routes[name]
            raw = values[name] if present else parameter.default
            value = parameters.read_value(raw, stated, self.family)
            parameters.validate_value(value, stated, self.family)
            # An infinite default stands for "none": the user gave nothing, and nothing is printed.
            if present or np.isfinite(value):
                given[name] = value
            canonical[parameter.name] = value if convert is None else convert(value)
        self._keep(given, canonical)

    def _keep(self, given: dict[str, Any], canonical: dict[str, Any]) -> None:
        """Set the two dictionaries once, and check the conditions that tie parameters together."""
        object.__setattr__(self, "given", given)
        object.__setattr__(self, "canonical", canonical)
        if self.joint_condition and self.is_known:
            arrays = labelled.aligned(self).arrays
            if np.any(self._joint_invalid(*arrays)):
                got = ", ".join(f"{name}={parameters.show_value(value)}" for name, value in given.items())
                raise ParameterError(f"Parameters of {self.family} must satisfy {self.joint_condition}. Got {got}.")

    def _routes(self, parameter: Parameter) -> dict[str, tuple[Parameter, Callable[[Any], Any] | None]]:
        """Every name under which a canonical parameter may be given."""
        routes: dict[str, tuple[Parameter, Callable[[Any], Any] | None]] = {parameter.name: (parameter, None)}
        for name, (target, stated, convert) in self.alternatives.items():
            if target == parameter.name:
                routes[name] = (stated, convert)
        return routes

    @property
    def family(self) -> str:
        """Name of the family, as it is written."""
        return type(self).__name__

    @property
    def is_known(self) -> bool:
        """Whether all parameters are numbers: no parameter depends on a model variable."""
        return not any(parameters.is_expression(value) for value in self.canonical.values())

    @property
    def is_proper(self) -> bool:
        """Whether the density integrates to one; zero parameters of improper priors say no."""
        for parameter in self.parameters:
            value = self.canonical[parameter.name]
            if parameter.zero_is_improper and not parameters.is_expression(value) and np.any(np.asarray(value) == 0):
                return False
        return True

    @property
    def support_text(self) -> str:
        """Where values lie, as it completes "must lie in ..."."""
        return self.support

    # --- value semantics --------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self.family} is immutable; '{name}' cannot be set. Make a new one instead.")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distribution):
            return NotImplemented
        if type(self) is not type(other):
            return False
        if _same_parameters(self.given, other.given):
            return True
        plain = "base" not in self.given  # what wraps another distribution has more to it than canonical parameters
        return plain and _same_parameters(self.canonical, other.canonical)

    def __hash__(self) -> int:
        # Equal distributions have equal plain numbers; arrays and expressions are left out.
        plain = (value for value in self.canonical.values() if isinstance(value, int | float))
        return hash((type(self), tuple(plain)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__))

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the constructor makes the same distribution of: arguments by position, and by name."""
        return (), dict(self.given)

    def __repr__(self) -> str:
        canonical = {parameter.name for parameter in self.parameters}
        parts, keyword = [], False
        for name, value in self.given.items():
            keyword = keyword or name not in canonical
            text = parameters.show_value(value)
            parts.append(f"{name}={text}" if keyword else text)
        return f"{self.family}({', '.join(parts)})"

    # --- kernels: NumPy in, NumPy out, no validation ----------------------------------------------------------------

    def _log_prob(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        """Log density or mass, shape plates; -inf outside the support."""
        self._refuse("log density")

    def _sample(self, rng: np.random.Generator, shape: tuple[int, ...], *params: Any, **kwargs: Any) -> Any:
        """Draws of shape ``(*shape, *event)``; parameters broadcast to the plates ``shape``."""
        self._refuse("sampler")

    def _mean(self, *params: Any, **kwargs: Any) -> Any:
        self._refuse("mean in closed form")

    def _var(self, *params: Any, **kwargs: Any) -> Any:
        self._refuse("variance in closed form")

    def _mode(self, *params: Any, **kwargs: Any) -> Any:
        self._refuse("mode in closed form")

    def _cdf(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        self._refuse("distribution function")

    def _quantile(self, q: Any, *params: Any, **kwargs: Any) -> Any:
        self._refuse("quantile function")

    def _sf(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        return 1.0 - self._cdf(x, *params)

    # Tails: what `Truncated` and `Power` are made of. Families override where a form exists that holds far out.

    def _log_cdf(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        """Log of the probability at or below x."""
        with np.errstate(all="ignore"):
            return np.log(self._cdf(x, *params))

    def _log_sf(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        """Log of the probability above x."""
        with np.errstate(all="ignore"):
            return np.log(self._sf(x, *params))

    def _log_quantile(self, log_q: Any, *params: Any, **kwargs: Any) -> Any:
        """Value with a given log of the probability at or below it."""
        return self._quantile(np.exp(log_q), *params)

    def _log_isf(self, log_tail: Any, *params: Any, **kwargs: Any) -> Any:
        """Value with a given log of the probability above it."""
        return self._quantile(-np.expm1(log_tail), *params)

    def _moment_order(self, *params: Any, **kwargs: Any) -> Any:
        """Moments of this order and above are infinite."""
        return np.inf

    def _raw_moment(self, k: float, *params: Any, **kwargs: Any) -> Any:
        """Expected ``x**k`` of a positive family, for any real k."""
        self._refuse("moments of any order in closed form")

    def _tilted_mode(self, k: float, *params: Any, **kwargs: Any) -> Any:
        """Where ``x**k`` times the density of a positive family is greatest."""
        self._refuse("mode in closed form")

    def _several_peaks(self, *params: Any, **kwargs: Any) -> Any:
        """Where the density has more than one peak, so that the narrowest interval must be searched for."""
        return np.zeros((), dtype=bool)

    def _narrowest(self, prob: float, arrays: list[Array]) -> tuple[Array, Array]:
        """Narrowest intervals that hold a probability, of cells whose parameters are ``(cells,)`` each."""
        search = intervals.narrowest_discrete if self.discrete else intervals.narrowest
        return search(self, prob, arrays)

    def _bounds(self, *params: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Least and greatest value of the support, which may be infinite."""
        self._refuse("bounds on a line")

    def _outside(self, x: Any, *params: Any, **kwargs: Any) -> Any:
        """Where a value is not in the support; NaN and infinities never are."""
        x = np.asarray(x)
        lower, upper = self._bounds(*params)
        inside = (x >= lower) & (x <= upper) & np.isfinite(x)
        if self.discrete:
            inside &= x == np.floor(x)
        return ~inside

    def _invalid(self, *params: Any) -> Array:
        """Where parameters are outside their domains or break the condition that ties them; shape plates."""
        mask: Array = np.zeros((), dtype=bool)
        for parameter, value in zip(self.parameters, params, strict=True):
            mask = mask | parameter.invalid(np.asarray(value))
        return mask | self._joint_invalid(*params) if self.joint_condition else mask

    def _joint_invalid(self, *params: Any, **kwargs: Any) -> Any:
        """Where `joint_condition` (such as ``lower < upper``) fails."""
        return np.zeros((), dtype=bool)

    def _refuse(self, what: str) -> Never:
        raise RefusedError(f"{self.family} has no {what}. Draw with sample() and summarise the draws instead.")

    # --- labels: DataArrays out -------------------------------------------------------------------------------------

    @property
    def dims(self) -> tuple[str, ...]:
        """Dims of the answers: the union of the parameters' dims, those of one event last."""
        return labelled.dims_of(self)

    def mean(self) -> DataArray:
        """Expected value; elementwise for vectors. Infinite moments are inf, undefined ones nan."""
        return labelled.moment(self, "_mean")

    def var(self) -> DataArray:
        """Variance; elementwise for vectors."""
        return labelled.moment(self, "_var")

    def sd(self) -> DataArray:
        """Standard deviation; elementwise for vectors."""
        return labelled.moment(self, "_sd")

    def _sd(self, *params: Any, **kwargs: Any) -> Any:
        return np.sqrt(self._var(*params))

    def mode(self) -> DataArray:
        """Most probable value."""
        return labelled.moment(self, "_mode")

    def quantile(self, q: Any) -> DataArray:
        """Quantiles; an array of probabilities adds the last dim "quantile"."""
        return labelled.quantile(self, q)

    def hdi(self, prob: float = 0.89) -> DataArray:
        """Narrowest interval that holds a probability, along the last dim "ci_bound" ("lower", "upper")."""
        return labelled.hdi(self, prob)

    def eti(self, prob: float = 0.89) -> DataArray:
        """Interval with equal tails that holds a probability, along the last dim "ci_bound"."""
        return labelled.eti(self, prob)

    def cdf(self, x: Any) -> DataArray:
        """Probability at or below x; elementwise for vectors."""
        return labelled.at(self, "_cdf", x)

    def log_prob(self, x: Any) -> DataArray:
        """Log density or mass; joint over the dims of one event."""
        return labelled.at(self, "_log_prob", x)

    def sample(self, draws: int = 1000, *, seed: int | np.random.Generator | None = None) -> DataArray:
        """Independent draws along the leading dim "draw"."""
        return labelled.sample(self, draws, seed)

    def _with(self, **canonical: Any) -> Self:
        """Make the same family with other canonical parameters."""
        return type(self)(**{**self.canonical, **canonical})


def _same_parameters(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(parameters.same_value(a[name], b[name]) for name in a)


def _restore(cls: type[Distribution], state: dict[str, Any]) -> Distribution:
    """Rebuild a pickled distribution without validating it again."""
    distribution = object.__new__(cls)
    distribution.__dict__.update(state)
    return distribution


def _quoted(names: Any, last: str = "and") -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"
