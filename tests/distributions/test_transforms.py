"""Transforms: round trips, Jacobians against numerical determinants, and the ends of the supports."""

from __future__ import annotations

import numpy as np
import pytest

import bayeskit.distributions.transforms as tr

RNG = np.random.default_rng(20)
SCALARS = {
    "identity": tr.Identity(),
    "log": tr.Log(),
    "log shifted": tr.Log(-2.0),
    "negative log": tr.NegativeLog(3.0),
    "logit": tr.Logit(),
    "logit scaled": tr.Logit(np.array([-1.0, 0.0, 2.0]), np.array([1.0, 10.0, 2.5])),
    "mixed": tr.Mixed(np.array([-np.inf, 0.0, -1.0]), np.array([3.0, np.inf, np.inf])),
    "mixed all": tr.Mixed(np.array([-np.inf, 0.0, -np.inf]), np.array([np.inf, 5.0, 2.0])),
}
VECTORS = {
    "real vector": (tr.Identity(1), (3,), (3,)),
    "simplex": (tr.StickBreaking(), (4,), (3,)),
    "simplex of two": (tr.StickBreaking(), (2,), (1,)),
    "increasing": (tr.Increasing(), (4,), (4,)),
    "increasing positive": (tr.Increasing(tr.Log()), (3,), (3,)),
    "increasing probabilities": (tr.Increasing(tr.Logit()), (3,), (3,)),
    "positive definite": (tr.CholeskyLogDiagonal(), (3, 3), (6,)),
    "positive number": (tr.CholeskyLogDiagonal(), (1, 1), (1,)),
}


@pytest.mark.parametrize("name", SCALARS)
def test_scalar_round_trip_and_jacobian(name):
    transform = SCALARS[name]
    u = RNG.normal(size=(5, 3)) * 2
    x = transform.inverse(u)
    np.testing.assert_allclose(transform.forward(x), u, rtol=1e-9, atol=1e-12)
    step = 1e-6
    slope = (transform.inverse(u + step) - transform.inverse(u - step)) / (2 * step)
    assert (slope > 0).all()
    np.testing.assert_allclose(transform.log_jacobian(u), np.log(slope), atol=1e-7)
    assert transform.event_ndim == 0
    assert transform.unconstrained_event_shape(()) == ()


def free_coordinates(x: np.ndarray, name: str) -> np.ndarray:
    """The coordinates the density of such a value is taken over."""
    if name.startswith("simplex"):
        return x[..., :-1]
    if name.startswith("positive"):
        rows, columns = np.tril_indices(x.shape[-1])
        return x[..., rows, columns]
    return x


@pytest.mark.parametrize("name", VECTORS)
def test_vector_round_trip_and_jacobian(name):
    transform, event_shape, free_shape = VECTORS[name]
    assert transform.unconstrained_event_shape(event_shape) == free_shape
    assert transform.event_ndim == len(event_shape)
    u = RNG.normal(size=(5, 2, *free_shape))
    x = transform.inverse(u)
    assert x.shape == (5, 2, *event_shape)
    np.testing.assert_allclose(transform.forward(x), u, rtol=1e-9, atol=1e-12)
    step = 1e-6
    columns = []
    for unit in np.eye(free_shape[0]) * step:
        change = transform.inverse(u + unit) - transform.inverse(u - unit)
        columns.append(free_coordinates(change, name) / (2 * step))
    _, log_determinant = np.linalg.slogdet(np.stack(columns, axis=-1))
    np.testing.assert_allclose(transform.log_jacobian(u), log_determinant, atol=1e-7)


def test_supports_are_met():
    u = RNG.normal(size=(100, 5)) * 3
    simplex = tr.StickBreaking().inverse(u)
    np.testing.assert_allclose(simplex.sum(-1), 1.0, rtol=1e-14)
    assert (np.diff(tr.Increasing().inverse(u)) > 0).all()


def test_ends_of_the_supports_are_reached_without_warnings():
    logit = tr.Logit()
    assert logit.inverse(-745.0) > 0
    assert logit.forward(1e-300) == pytest.approx(np.log(1e-300))
    assert logit.forward(0.0) == -np.inf and logit.forward(1.0) == np.inf
    assert logit.log_jacobian(-1000.0) == -1000.0 and logit.log_jacobian(1000.0) == -1000.0
    assert tr.Log().inverse(1000.0) == np.inf and tr.Log().forward(0.0) == -np.inf
    wide = tr.StickBreaking().inverse(np.array([-600.0, 600.0, 0.0]))
    assert np.isfinite(wide).all() and wide[0] > 0
    assert np.isfinite(tr.StickBreaking().log_jacobian(np.array([-600.0, 600.0, 0.0])))


def test_small_entries_of_a_simplex_keep_their_accuracy():
    x = np.array([1e-200, 1.0 - 1e-12, 1e-12])
    np.testing.assert_allclose(tr.StickBreaking().inverse(tr.StickBreaking().forward(x)), x, rtol=1e-11)


def test_bounds_choose_the_transform():
    chosen = [tr.elementwise_transform(*bounds) for bounds in [(-np.inf, np.inf), (0, np.inf), (-np.inf, 1), (0, 1)]]
    assert [type(item) for item in chosen] == [tr.Identity, tr.Log, tr.NegativeLog, tr.Logit]
    assert type(tr.elementwise_transform(np.array([0.0, -np.inf]), np.inf)) is tr.Mixed
