"""Where modes of cells are looked for first: near them, whatever the rows, and of no effect on what is found."""

from __future__ import annotations

import numpy as np
import pytest

from bayeskit.inference.elimination.cell_modes import find_modes
from bayeskit.inference.elimination.linear_cells import Layout, LinearCells, LogitRows, LogRows
from bayeskit.inference.elimination.mode_map import guess

N = 400


def cells_of(kind, *, spread=2.0, units=False, weighted=True, varying=False, most=6):
    """Cells of zero to five rows, of all sorts of counts."""
    rng = np.random.default_rng(7)
    counts = rng.integers(0, most, N)
    rows = int(counts.sum())
    a, weight = rng.normal(size=rows), rng.integers(1, 60, rows).astype(float)
    weight = weight if weighted else np.ones(rows)
    owner = np.repeat(np.arange(N), counts)
    unit = rng.normal(size=N) if units else np.ones(N)
    centre, spreads = rng.normal(0.0, 2.0, N), spread * np.exp(0.3 * rng.normal(size=N))
    eta = a + unit[owner] * (centre + spreads * rng.normal(size=N))[owner]
    if kind is LogitRows:
        y = rng.binomial(weight.astype(int), 1 / (1 + np.exp(-eta)))
    else:
        y = rng.poisson(weight * np.exp(np.minimum(eta, 5.0)))
    sums = np.bincount(owner, weights=y, minlength=N)
    c = np.exp(0.1 * rng.normal(size=rows)) if varying else None
    parts = sums, weight if weighted else None, c, unit if units else None
    return LinearCells(centre, spreads, (kind(Layout(counts), a, *parts),))


def sought(cells, start):
    """Modes found from a start, and for how many cells derivatives were asked."""
    asked = []

    class Counting:
        def __getattr__(self, name):
            return getattr(cells, name)

        def derivatives(self, z, scale):
            asked.append(z.size)
            return cells.derivatives(z, scale)

        def take(self, index):
            asked.append(len(index))
            return cells.take(index)

    return find_modes(Counting(), start, np.ones(cells.size)), sum(asked)


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
@pytest.mark.parametrize("spread", [0.1, 2.0, 20.0])
@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_guesses_are_near_and_lead_to_the_same_modes(kind, spread, units, weighted):
    cells = cells_of(kind, spread=spread, units=units, weighted=weighted)
    start = guess(cells)
    assert np.isfinite(start).all()
    near, work = sought(cells, start)
    far, more = sought(cells, np.zeros(N))
    assert near.found.all()
    assert far.found.all()
    assert np.abs((near.at - far.at) / near.scale).max() < 0.3  # where a step is the last one
    off, before = (np.abs(at - near.at) / near.scale for at in (start, np.zeros(N)))
    assert np.mean(np.minimum(off, 5.0)) <= np.mean(np.minimum(before, 5.0))
    assert work <= more


def test_wide_priors_leave_the_rows_alone():
    """Under a wide prior a log rate is that of the count; zero would be many widths away."""
    y = np.array([3.0, 50.0, 400.0])
    rows = LogRows(Layout(np.ones(3, int)), np.log([1.0, 2.0, 1.0]), y, None, None, None)
    cells = LinearCells(np.zeros(3), np.full(3, 1e3), (rows,))
    np.testing.assert_allclose(guess(cells) * 1e3, np.log((y + 0.5) / [1.0, 2.0, 1.0]), rtol=1e-3)


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
def test_where_rows_cannot_tell_the_guess_is_the_middle_of_the_prior(kind):
    np.testing.assert_array_equal(guess(cells_of(kind, varying=True)), 0.0)
    empty = LinearCells(
        np.array([3.0]), np.array([2.0]), (kind(Layout(np.array([0])), *[np.zeros(0)], np.zeros(1), None, None, None),)
    )
    assert abs(guess(empty)[0]) < 10.0
    nothing = LinearCells(np.array([3.0]), np.array([np.inf]), cells_of(kind, most=2).rows[:0])
    np.testing.assert_array_equal(guess(nothing), 0.0)
