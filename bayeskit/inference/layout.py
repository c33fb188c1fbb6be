"""How the unknowns of a Gaussian block are laid out: which are wide, which are dense.

A layout is sound where no row touches two groups; that is checked on the terms of the designs themselves. Of the sound
ones, the one whose systems cost least is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bayeskit.expressions import Expression
from bayeskit.model.problem import Latent
from bayeskit.statistics.design import Design, KnownTerm
from bayeskit.statistics.gram import Layout

Array = np.ndarray
Known = tuple[Design, list[KnownTerm] | None]


def choose_layout(latents: Sequence[Latent], columns: Mapping[str, int], designs: Sequence[Known]) -> Layout:
    """Return the cheapest sound layout; all dense where a design depends on other latents."""
    total = sum(latent.size for latent in latents)
    best = _dense(total)
    if any(terms is None for _, terms in designs):
        return best
    cost = float(total) ** 3
    for dims in _candidates(latents):
        layout = lay_out(latents, columns, dims, total)
        price = layout.groups * layout.width**2 * (layout.width + layout.rest + 1) + float(layout.rest) ** 3
        if price < cost and is_sound(dims, latents, designs):
            best, cost = layout, price
    return best


def _dense(total: int) -> Layout:
    return Layout(np.zeros((0, 0), dtype=np.int64), np.arange(total))


def _candidates(latents: Sequence[Latent]) -> Iterator[tuple[str, ...]]:
    """Yield tuples of dims along which a block may fall apart: each latent's own, and its single dims."""
    seen: set[tuple[str, ...]] = set()
    for latent in latents:
        dims = latent.variable.dims
        for candidate in [dims, latent.prior.plates, *((d,) for d in dims)]:
            if candidate and set(candidate) <= set(dims) and candidate not in seen:
                seen.add(candidate)
                yield candidate


def lay_out(latents: Sequence[Latent], columns: Mapping[str, int], dims: tuple[str, ...], total: int) -> Layout:
    """Return the layout with groups along some dims: latents that bear all of them are wide."""
    blocks = []
    for latent in latents:
        own = latent.variable.dims
        if not set(dims) <= set(own):
            continue
        index = columns[latent.name] + np.arange(latent.size).reshape(latent.shape)
        order = [own.index(d) for d in dims] + [i for i, d in enumerate(own) if d not in dims]
        groups = int(np.prod([latent.shape[own.index(d)] for d in dims]))
        blocks.append(index.transpose(order).reshape(groups, -1))
    wide = np.concatenate(blocks, axis=1)
    dense = np.setdiff1d(np.arange(total), wide.ravel())
    return Layout(wide, dense)


def is_sound(dims: tuple[str, ...], latents: Sequence[Latent], designs: Sequence[Known]) -> bool:
    """Whether no row touches two groups along some dims: every term picks the same one, and so do all its parts."""
    wide = {latent.name for latent in latents if set(dims) <= set(latent.variable.dims)}
    for design, terms in designs:
        assert terms is not None
        plates = len(design.factor.plates)
        first: KnownTerm | None = None
        for term in terms:
            if term.target not in wide:
                continue
            if any(_varies(term.codes[d], plates) for d in dims):  # the entries of one event stay together
                return False
            first = first or term
            for d in dims:
                a, b = first.codes[d], term.codes[d]
                if (
                    not _is_same(first.positions[d], term.positions[d])
                    and not (_cut(a, plates) == _cut(b, plates)).all()
                ):
                    return False
    return True


def _cut(code: Array, plates: int) -> Array:
    """Return a code at the first place of the event and the summed dims."""
    return code[(slice(None),) * plates + (0,) * (code.ndim - plates)]


def _varies(code: Array, plates: int) -> bool:
    """Whether a code varies along the event or the summed dims."""
    if all(n == 1 for n in code.shape[plates:]):
        return False
    first = code[(slice(None),) * plates + (slice(0, 1),) * (code.ndim - plates)]
    return bool((code != first).any())


def _is_same(a: str | Expression, b: str | Expression) -> bool:
    """Whether two positions are one and the same, without a look at the numbers."""
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    return a is b
