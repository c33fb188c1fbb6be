import io
import warnings

import numpy as np
import pytest

from bayeskit.errors import ParameterError, SamplingWarning
from bayeskit.inference.loop import run
from bayeskit.inference.seeding import make_rng


def counting(state, tuning):
    return state + 1, {
        "count": np.full(3, state),
        "pair": np.full((3, 2), 0.5 * state),
        "tuning": np.full(3, tuning),
    }


def stopping_at(k):
    def advance(state, tuning):
        if state == k:
            raise KeyboardInterrupt
        return counting(state, tuning)

    return advance


def test_records_of_the_retained_draws():
    trace = run(counting, 0, tune=5, draws=4)
    np.testing.assert_array_equal(trace.values["count"], np.tile([5, 6, 7, 8], (3, 1)))
    assert trace.values["pair"].shape == (3, 4, 2)
    assert {name: value.dtype.kind for name, value in trace.values.items()} == {
        "count": "i",
        "pair": "f",
        "tuning": "b",
    }
    assert not trace.values["tuning"].any()
    assert (trace.draws, trace.interrupted, trace.state) == (4, False, 9)
    assert trace.seconds > 0


def test_records_are_copied():
    buffer = np.zeros(2)

    def advance(state, tuning):
        buffer[:] = state
        return state + 1, {"x": buffer}

    np.testing.assert_array_equal(run(advance, 0, tune=0, draws=3).values["x"], [[0, 1, 2], [0, 1, 2]])


def test_no_draws():
    trace = run(counting, 0, tune=2, draws=0)
    assert trace.values == {}
    assert trace.state == 2


@pytest.mark.parametrize("name", ["tune", "draws"])
@pytest.mark.parametrize("value", [-1, 2.5, True, None])
def test_numbers_of_sweeps_are_checked(name, value):
    with pytest.raises(ParameterError, match=f"'{name}' must be a nonnegative integer"):
        run(counting, 0, **({"tune": 1, "draws": 1} | {name: value}))


def test_an_interrupt_leaves_the_draws_so_far():
    with pytest.warns(SamplingWarning, match="interrupted after 7 of 100 draws"):
        trace = run(stopping_at(12), 0, tune=5, draws=100)
    assert trace.interrupted
    assert trace.draws == 7
    assert trace.state == 12
    np.testing.assert_array_equal(trace.values["count"][0], np.arange(5, 12))


@pytest.mark.parametrize("k", [0, 3, 5])
def test_an_interrupt_before_the_first_draw_is_an_interrupt(k):
    with pytest.raises(KeyboardInterrupt):
        run(stopping_at(k), 0, tune=5, draws=100)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Twenty milliseconds a sweep, without waiting for them."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def slow(self, state, tuning):
        self.now += 0.02
        return counting(state, tuning)


@pytest.mark.parametrize(
    ("terminal", "progress", "draws", "shown"),
    [
        (True, None, 90, True),
        (True, None, 20, False),  # over before it is worth a bar
        (True, False, 90, False),
        (True, True, 20, True),
        (False, None, 90, False),
        (False, True, 20, True),
    ],
)
def test_progress(monkeypatch, terminal, progress, draws, shown):
    clock = Clock()
    monkeypatch.setattr("bayeskit.inference.loop.time", clock)
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    run(clock.slow, 0, tune=0, draws=draws, progress=progress, label="a run")
    assert ("a run" in stderr.getvalue()) == shown


def test_the_bar_is_closed_by_an_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())

    def advance(state, tuning):
        raise ZeroDivisionError

    with warnings.catch_warnings(), pytest.raises(ZeroDivisionError):
        run(advance, 0, tune=1, draws=1, progress=True)


@pytest.mark.parametrize(
    "seed", [0, 7, np.int64(7), 2**200, None, np.random.SeedSequence(3), np.random.SeedSequence(3, spawn_key=(1, 2))]
)
def test_the_text_of_a_seed_reproduces_the_run(seed):
    rng, text = make_rng(seed)
    again, same = make_rng(int(text))
    assert text == same
    assert rng.random() == again.random()


def test_equal_seeds_are_equal_and_others_are_not():
    assert make_rng(7)[1] == "7"
    first = [make_rng(seed)[0].random() for seed in (7, 7, 8, np.random.SeedSequence(7), np.random.SeedSequence(7))]
    assert first[0] == first[1] != first[2]
    assert first[3] == first[4]
    child, sibling = np.random.SeedSequence(7).spawn(2)
    assert make_rng(child)[0].random() != make_rng(sibling)[0].random()
    assert make_rng()[0].random() != make_rng()[0].random()


def test_a_generator_is_advanced():
    generator = np.random.default_rng(1)
    first, second = make_rng(generator), make_rng(generator)
    assert first[1] != second[1]
    assert make_rng(np.random.default_rng(1))[1] == first[1]


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, [1, 2]])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ParameterError, match="'seed' must be a nonnegative integer"):
        make_rng(seed)
