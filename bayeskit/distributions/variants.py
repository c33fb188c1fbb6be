"""Families with more than one canonical set of parameters.

`Bernoulli(p)` or `Bernoulli(logit=)`, `MvNormal(mu, cov)` or `MvNormal(mu, tau=)`: each set has kernels of its own, so
nothing is lost in a conversion; the class is one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from bayeskit.distributions.base import Distribution
from bayeskit.distributions.domains import Parameter
from bayeskit.distributions.parameters import show_value
from bayeskit.errors import ParameterError

__all__ = ["Variants"]


class Variants(Distribution):
    """A family whose `parameters` depend on what the constructor was given.

    Attributes
    ----------
    variants : tuple of tuple of Parameter
        The sets; the first is the one that positional arguments are read as.
    parameters : tuple of Parameter
        On an instance the set it was made with; on the class the first.

    Examples
    --------
    >>> from bayeskit.distributions import Bernoulli
    >>> [parameter.name for parameter in Bernoulli(logit=0.3).parameters]
    ['logit']
    """

    variants: ClassVar[tuple[tuple[Parameter, ...], ...]]

    def _assign(self, **values: Any) -> None:
        """Choose the one set that holds all that was given, then read, validate and keep the values."""
        present = [name for name, value in values.items() if value is not None]
        for variant in self.variants:
            required = {parameter.name for parameter in variant if parameter.default is None}
            if required <= set(present) <= {parameter.name for parameter in variant}:
                object.__setattr__(self, "parameters", variant)
                super()._assign(**{parameter.name: values.get(parameter.name) for parameter in variant})
                return
        sets = " or ".join("(" + ", ".join(parameter.name for parameter in variant) + ")" for variant in self.variants)
        got = ", ".join(f"'{name}'" for name in present) if present else "nothing"
        raise ParameterError(f"{self.family} must be given {sets}. Got {got}. State each parameter once, in one set.")

    def __repr__(self) -> str:
        parts, keyword = [], False
        for position, (name, value) in enumerate(self.given.items()):
            keyword = keyword or position >= len(self.variants[0]) or self.variants[0][position].name != name
            parts.append(f"{name}={show_value(value)}" if keyword else show_value(value))
        return f"{self.family}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # the tables of parameters hold functions, which do not pickle; the names tell which one it was
        state = {name: value for name, value in self.__dict__.items() if name != "parameters"}
        return _restore, (type(self), state)


def _restore(cls: type[Variants], state: dict[str, Any]) -> Variants:
    """Rebuild a pickled distribution without validating it again."""
    distribution = object.__new__(cls)
    distribution.__dict__.update(state)
    for variant in cls.variants:
        if [parameter.name for parameter in variant] == list(distribution.canonical):
            distribution.__dict__["parameters"] = variant
    return distribution
