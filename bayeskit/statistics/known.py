"""What statistics know beside the rows: the text of the likelihood, and the columns that the priors read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from bayeskit.errors import DataError, RefusedError
from bayeskit.expressions import Constant, Expression
from bayeskit.model.binding import Binding
from bayeskit.model.dims import latent_dims
from bayeskit.model.labels import Coords, Factorized, encode
from bayeskit.model.model import Model
from bayeskit.model.reading import Given
from bayeskit.model.statements import IndexColumn

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Known:
    """What statistics know beside the rows.

    Attributes
    ----------
    text : dict
        The statements of the likelihood, by name.
    values : dict
        Columns that priors read, and latents whose values were given: numbers (or codes) and their dims.
    into : dict
        The dims that columns of codes point into.
    fixed : frozenset of str
        Latents whose values were given.
    """

    text: Mapping[str, str]
    values: Mapping[str, tuple[Array, tuple[str, ...]]]
    into: Mapping[str, str]
    fixed: frozenset[str]

    def coded(self, own: Coords, labels: Coords) -> dict[str, tuple[Array, tuple[str, ...]]]:
        """Return the values coded by other labels, over all of them: NaN where there is none."""
        found = {}
        for name, (values, dims) in self.values.items():
            if name in self.into and not own.agree(labels, self.into[name]):
                dim = self.into[name]
                values = encode(dim, Factorized(own[dim]), labels[dim])[values.astype(np.int64)]
            whole = np.full([labels.size(d) for d in dims], np.nan)
            whole[np.ix_(*(encode(d, Factorized(own[d]), labels[d]) for d in dims))] = values
            found[name] = (whole, dims)
        return found

    def merged(self, own: Coords, other: Known, others: Coords, labels: Coords) -> Known:
        """Return what both know; refused where they differ."""
        a, b = self.coded(own, labels), other.coded(others, labels)
        values = {**a, **b}
        for name in a.keys() & b.keys():
            (mine, dims), (its, _) = a[name], b[name]
            if not ((mine == its) | np.isnan(mine) | np.isnan(its)).all():
                raise DataError(
                    f"Statistics must hold the same values of '{name}' to be merged, for priors depend on it. "
                    "Got different ones. Check the data."
                )
            values[name] = (np.where(np.isnan(mine), its, mine), dims)
        return Known(self.text, values, {**self.into, **other.into}, self.fixed)

    def given(self, labels: Coords) -> dict[str, Given]:
        """Return the values as data, labelled."""
        found = {}
        for name, (values, dims) in self.values.items():
            if name in self.into:
                values = labels[self.into[name]][values.astype(np.int64)]
            elif not np.isnan(values).any() and (values == np.rint(values)).all() and (np.abs(values) < 2**53).all():
                values = values.astype(np.int64)
            coords = {d: labels[d] for d in dims if not labels.is_numbered(d)}
            found[name] = Given(values, dims, coords)
        return found


def known_of(binding: Binding, number: int, fixed: frozenset[str]) -> Known:
    """Return what a bound batch of data knows beside its rows."""
    model, local, shared = binding.model, binding.batches[number], latent_dims(binding.model)
    readers: dict[str, list[Expression]] = {r.name: list(r.parameters) for r in model.random.values() if not r.observed}
    readers |= {t.name: [t.expression] for t in model.terms.values()}
    read = {n: label for label, own in readers.items() for e in own for n in e.variables}
    also = {n for d in model.derivations.values() for n in d.expression.variables}
    values = {}
    for name in [*model.columns, *fixed]:
        column = model.columns.get(name)
        variable = model.random[name].variable if column is None else column.variable
        if not set(variable.dims) <= shared:
            if name in read:
                raise RefusedError(
                    f"Data can be summarised where priors and terms of the density read no rows. Got '{read[name]}', "
                    f"which depends on '{name}' over {variable.dims}. Condition on the data themselves."
                )
            continue
        if name not in binding.given[number] and name not in local.names and local.number:
            continue  # an earlier batch has it
        here = binding.localised(name, variable, local)
        if (name in read or name in also or column is None) and here.variables <= binding.env.keys():
            values[name] = (np.asarray(here.evaluate(binding.env))[0].astype(float), variable.dims)
    into = {n: c.into for n, c in model.columns.items() if n in values and isinstance(c, IndexColumn)}
    return Known(likelihood_text(model), values, into, fixed)


def likelihood_text(model: Model) -> dict[str, str]:
    """Return the statements of a model's likelihood by name, such as ``y[obs] ~ Normal(a + b * x, sigma)``.

    Arrays written into it stand as a digest. Of a latent only name and dims matter, not its prior.
    """
    text: dict[str, str] = {}
    for r in model.random.values():
        if r.observed:
            arrays = [e for p in r.parameters for e in _arrays(p)]
            digest = "".join(f" #{sha256(a.tobytes()).hexdigest()[:12]}" for a in arrays)
            text[r.name] = f"{_head(r.name, r.dims)} ~ {r.distribution}{digest}"
    used = {n for r in model.random.values() if r.observed for p in r.parameters for n in p.variables}
    for c in model.columns.values():
        if c.name in used:
            into = f" into {c.into}" if isinstance(c, IndexColumn) else ""
            text[c.name] = f"{_head(c.name, c.variable.dims)} is {'an index' if into else 'data'}{into}"
    for r in model.random.values():
        if r.name in used and not r.observed:
            text[r.name] = f"{_head(r.name, r.dims)} is latent"
    return text


def _head(name: str, dims: tuple[str, ...]) -> str:
    return f"{name}[{', '.join(dims)}]" if dims else name


def _arrays(e: Expression) -> list[Array]:
    if isinstance(e, Constant):
        value = np.asarray(e.value, dtype=float)
        said = value.ndim == 0 and float(f"{float(value):.6g}") == float(value)  # in full, in the text
        return [] if said else [value]
    return [a for child in e.children() for a in _arrays(child)]
