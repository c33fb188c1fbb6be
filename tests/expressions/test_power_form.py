"""`power_form`: ``coefficient * target[positions] ** exponent`` equals evaluation; what is no power is refused."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.expressions import Expression, Variable, aligner
from bayeskit.expressions.linear import ONE
from bayeskit.expressions.power import NotPower, PowerForm, cancelled, power_form
from tests.expressions.random_expressions import INDICES, SIZES

s, t = Variable("s", ("g",)), Variable("t", ())
c, d, o = Variable("c", ()), Variable("d", ("g",)), Variable("o", ("obs",))
n = Variable("n", (), integer=True)
i, j, q, z = INDICES.values()
RNG = np.random.default_rng(3)
ENV = {
    "s": RNG.gamma(2.0, size=(4, 3)), "t": RNG.gamma(2.0, size=4), "c": RNG.gamma(2.0, size=1),
    "d": RNG.gamma(2.0, size=(1, 3)), "o": RNG.gamma(2.0, size=(1, 6)), "n": np.array([7]),
    "i": RNG.integers(0, 3, (1, 6)), "q": RNG.integers(0, 2, (4, 6)), "z": RNG.integers(0, 2, 4),
}  # fmt: skip


def dense(form: PowerForm, target: str, dims: tuple[str, ...]) -> np.ndarray:
    """Compute a form from its parts alone."""
    x = ENV[target]
    picks = []
    for position in form.positions.values():
        if isinstance(position, Expression):
            picks.append(aligner(position.dims, dims)(position.evaluate(ENV)))
        else:
            shape = [1] * (1 + len(dims))
            shape[1 + dims.index(position)] = -1
            picks.append(np.arange(SIZES[position]).reshape(shape))
    batch = np.arange(len(x)).reshape((-1,) + (1,) * len(dims))
    coefficient = aligner(form.coefficient.dims, dims)(form.coefficient.evaluate(ENV))
    return coefficient * x[(batch, *picks)] ** form.exponent


POWERS = [
    (s, "s", 1.0), (t, "t", 1.0), (s * 2, "s", 1.0), (d * s, "s", 1.0), (s / d, "s", 1.0), (1 / s, "s", -1.0),
    (d / (c * s), "s", -1.0), (s**2, "s", 2.0), (s**-0.5, "s", -0.5), ((d * s) ** -0.5, "s", -0.5),
    (np.sqrt(s), "s", 0.5), (np.sqrt(s / d), "s", 0.5), (np.square(s) * c, "s", 2.0), (np.reciprocal(s), "s", -1.0),
    (np.cbrt(d * s), "s", 1 / 3), (s * s, "s", 2.0), (s * s * s / s, "s", 2.0), (np.sqrt(s**2), "s", 1.0),
    ((1 / s) ** 2 * np.sqrt(s), "s", -1.5), (s[i], "s", 1.0), (np.sqrt(s[i] / o), "s", 0.5),
    ((d / s)[i] * o, "s", -1.0),
    ((s**2)[q], "s", 2.0), (t * s, "s", 1.0), (t * s, "t", 1.0), (s[i] * s[i], "s", 2.0),
    (s[{"g": 1}] ** 3, "s", 3.0), (t / np.sqrt(n), "t", 1.0), ((n * t) ** -1, "t", -1.0), (t * np.exp(c), "t", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "target", "exponent"), POWERS, ids=[str(p[0]) for p in POWERS])
def test_powers(expression, target, exponent):
    form = power_form(expression, target)
    assert isinstance(form, PowerForm), form
    assert form.exponent == pytest.approx(exponent)
    assert target not in form.coefficient.variables
    got = dense(form, target, expression.dims)
    wanted = expression.evaluate(ENV)
    np.testing.assert_allclose(np.broadcast_to(got, wanted.shape), wanted, rtol=1e-12)


COMPUTED = [s**d, (c * s) ** (-1 / d), t * (s / d) ** c, (s ** (1 / d)) ** 2, (s ** (1 / d)) ** c, (s**d)[i], s[i] ** o]


@pytest.mark.parametrize("expression", COMPUTED, ids=[str(e) for e in COMPUTED])
def test_computed_exponents(expression):
    form = power_form(expression, "s", computed=True)
    assert isinstance(form, PowerForm), form
    dims = expression.dims
    whole = PowerForm(ONE, 1.0, form.positions)
    laid = (aligner(e.dims, dims)(e.evaluate(ENV)) for e in (form.coefficient, form.times))
    coefficient, times = laid
    wanted = expression.evaluate(ENV)
    got = np.broadcast_to(coefficient * dense(whole, "s", dims) ** (form.exponent * times), wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    assert isinstance(power_form(expression, "s"), NotPower)


@pytest.mark.parametrize("expression", [s**d * s**c, s**s, (s + 1) ** d, s[i] ** s[q]], ids=str)
def test_computed_exponents_refused(expression):
    assert isinstance(power_form(expression, "s", computed=True), NotPower)


def test_what_cancels():
    known = {n: ENV[n] for n in ("d", "o", "c", "n")}
    assert cancelled((-1 / t) * t, {}) == -1.0
    assert cancelled((-1 / (o * t)) * (2 * t * o), known) == -2.0
    assert cancelled((1 / s[i]) * s[i], ENV | known) == 1.0
    assert cancelled(1 / s[i] * s[i], {"i": ENV["i"]}) == 1.0
    assert cancelled(1 / s[i] * s[{"g": 1}], {"i": ENV["i"]}) is None
    assert cancelled(t * t, {}) is None
    assert cancelled(o / 2, known) is None
    assert cancelled(t / (t + 1), {}) is None


REFUSED = [
    (s + 1, "s + 1", "is no power of 's'"),
    (2 * (s - d), "s - d", "is no power of 's'"),
    (np.sqrt(s**2 + c), "s**2 + c", "is no power of 's'"),
    (np.exp(s), "exp(s)", "is no power of 's'"),
    (np.log(s) * 2, "log(s)", "is no power of 's'"),
    (2**s, "2**s", "is no power of 's'"),
    (s**s, "s**s", "is no power of 's'"),
    (s**d, "s**d", "is no power of 's'"),
    (-s, "-s", "is no power of 's'"),
    (np.maximum(s, 1), "maximum(s, 1)", "is no power of 's'"),
    (np.where(c > 0, s, 1), "where(c > 0, s, 1)", "is no power of 's'"),
    (np.exp(s)[i], "exp(s)", "is no power of 's'"),
    (s * np.exp(s), "exp(s)", "is no power of 's'"),
    (np.exp(s) * d, "exp(s)", "is no power of 's'"),
    (s.sum("g"), 's.sum("g")', "is no power of 's'"),
    (bk.stack([s, d], dim="two"), 'stack([s, d], "two")', "is no power of 's'"),
    (s[i] * s[q], "s[i] * s[q]", "contains different elements of 's'"),
    (s * s[{"g": z}], 's * s[z]', "contains different elements of 's'"),
    (s / s, "s / s", "does not depend on 's', whose powers cancel"),
    (s**0, "s**0", "does not depend on 's', whose powers cancel"),
    (d * s * s**-1, "d * s * s**-1", "does not depend on 's', whose powers cancel"),
    (d * c, "d * c", "does not contain 's'"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "blamed", "reason"), REFUSED, ids=[str(r[0]) for r in REFUSED])
def test_no_powers(expression, blamed, reason):
    form = power_form(expression, "s")
    assert isinstance(form, NotPower)
    assert (form.subexpression, form.reason) == (blamed, reason)


def test_a_target_in_its_own_index():
    counts = Variable("k", ("g",), integer=True)
    form = power_form(counts[{"g": counts}], "k")
    assert form == NotPower("has 'k' in its own index", 'k[{"g": k}]')
