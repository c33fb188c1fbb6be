"""``pull_back`` against loops over cells."""

import itertools

import numpy as np
import pytest

from bayeskit.conjugate.pull_back import pull_back

SIZES = {"a": 2, "b": 3, "g": 4, "h": 2}


def by_loops(contribution, frame, positions, sizes, keep, batch, join):
    """The definition: every cell adds to the element it points to, or lifts it."""
    kept = contribution.shape[contribution.ndim - keep :]
    result = np.full((batch, *(sizes[d] for d in positions), *kept), 0.0 if join is np.add else -np.inf)
    extents = contribution.shape[1 : 1 + len(frame)]
    for chain in range(batch):
        for cell in itertools.product(*map(range, extents)):
            place = dict(zip(frame, cell, strict=True))
            element = []
            for position in positions.values():
                if isinstance(position, str):
                    element.append(place[position])
                else:
                    codes, dims = position
                    element.append(codes[chain % len(codes)][tuple(place[d] for d in dims)])
            at = (chain, *element)
            result[at] = join(result[at], contribution[(chain % len(contribution), *cell)])
    return result


def codes(rng, size, *shape):
    return rng.integers(0, size, shape)


CASES = {
    "nothing left": (("a", "b"), lambda rng: {}),
    "all kept": (("a", "b"), lambda rng: {"a": "a", "b": "b"}),
    "transposed": (("a", "b"), lambda rng: {"b": "b", "a": "a"}),
    "one summed": (("a", "b"), lambda rng: {"b": "b"}),
    "known index": (("a", "b"), lambda rng: {"g": (codes(rng, 4, 1, 3), ("b",))}),
    "index of each chain": (("a", "b"), lambda rng: {"g": (codes(rng, 4, 3, 3), ("b",))}),
    "index over both": (("a", "b"), lambda rng: {"g": (codes(rng, 4, 3, 3, 2), ("b", "a"))}),
    "index and plate": (("a", "b"), lambda rng: {"g": (codes(rng, 4, 3, 3), ("b",)), "a": "a"}),
    "plate and index": (("a", "b"), lambda rng: {"a": "a", "g": (codes(rng, 4, 3, 3, 2), ("b", "a"))}),
    "two indices": (("a", "b"), lambda rng: {"g": (codes(rng, 4, 1, 2), ("a",)), "h": (codes(rng, 2, 3, 3), ("b",))}),
    "one number for all": (("b",), lambda rng: {"g": (codes(rng, 4, 3), ())}),
    "no cells to sum": ((), lambda rng: {"g": (codes(rng, 4, 3), ())}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kept", [(), (2,), (2, 2)])
@pytest.mark.parametrize("join", [np.add, np.maximum])
def test_against_loops(name, batch, kept, join):
    rng = np.random.default_rng(len(name))
    frame, make = CASES[name]
    positions = make(rng)
    contribution = rng.normal(size=(batch, *(SIZES[d] for d in frame), *kept))
    chains = max([batch, *(len(p[0]) for p in positions.values() if not isinstance(p, str))])
    expected = by_loops(contribution, frame, positions, SIZES, len(kept), chains, join)
    got = pull_back(contribution, frame, positions, SIZES, len(kept), join)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-13)


def test_elements_nothing_points_to_get_zero():
    got = pull_back(np.ones((1, 3)), ["b"], {"g": (np.array([[1, 1, 3]]), ("b",))}, SIZES)
    np.testing.assert_array_equal(got, [[0, 2, 0, 1]])
