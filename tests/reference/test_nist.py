"""NIST's Statistical Reference Datasets under flat priors: posterior means, scales and variances, digit by digit.

The truth is rational arithmetic. It is worked out twice: of the decimals that NIST publishes, which gives the certified
values; and of the floats that a model is handed, powers rounded, which is all that any library in double precision can
know. ``DIGITS`` states how many digits are common to the posterior and to either. Two of the sets are not known
to better than their floats: powers of Filip's x up to the tenth, rounded, have a solution that agrees with the
certified one to 7.6 digits.
"""

from fractions import Fraction

import numpy as np
import pytest

import bayeskit as bk
from tests.reference.figures import case, data, known

POWERS = {"norris": 1, "pontius": 2, "filip": 10, "wampler1": 5, "wampler2": 5, "wampler3": 5, "wampler4": 5,
          "wampler5": 5}  # fmt: skip
# Digits of coefficients and of standard errors: against the certified values, and against the given floats.
DIGITS = {
    "noint1": ((15, 15), (15, 15)),
    "norris": ((13.4, 13.5), (13.6, 13.9)),
    "pontius": ((13.4, 13.4), (15, 14.9)),
    "longley": ((14.6, 14.3), (15, 14.3)),
    "wampler1": ((15, None), (15, None)),
    "wampler2": ((13.1, None), (15, None)),
    "wampler3": ((15, 13.5), (15, 13.5)),
    "wampler4": ((15, 13.5), (15, 13.5)),
    "wampler5": ((15, 13.5), (15, 13.5)),
    "filip": ((7.5, 7.2), (14, 14)),
}
NEEDED = {"wampler4": ["nist_linreg_wampler1", "nist_linreg_wampler3"]}


def there(name):
    return bool(all(known([n], "data") for n in NEEDED.get(name, [f"nist_linreg_{name}"])))


SETS = [name for name in DIGITS if there(name)]


def numbers(name):
    """Return x and y; those of Wampler 4 are, by their definition, its errors a hundred times larger than in 3."""
    if name == "wampler4":
        first, third = (data(f"nist_linreg_{n}") for n in ("wampler1", "wampler3"))
        return np.asarray(first["x"]), np.asarray(first["y"]) + 100 * (np.asarray(third["y"]) - np.asarray(first["y"]))
    found = data(f"nist_linreg_{name}")
    return np.asarray(found["x"], dtype=float), np.asarray(found["y"], dtype=float)


def design(name, x, read=float):
    """Return the rows of the design in numbers of some kind."""
    if name == "longley":
        return [[read(1.0), *map(read, row)] for row in x]
    if name == "noint1":
        return [[read(v)] for v in x]
    return [[read(v) ** k for k in range(POWERS[name] + 1)] for v in x]


def decimal(v):
    """Return the decimal number that a float was read from."""
    return Fraction(repr(float(v)))


def as_matrix(name, x, y):
    """State the regression with its design as one table."""
    rows = np.array(design(name, x))
    m = bk.Model()
    b, sigma2 = m.latent("b", bk.Flat(), dims="k"), m.latent("sigma2", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(m.data("X", dims=("obs", "k")) @ b, var=sigma2), dims="obs")
    return m.condition({"X": rows, "y": y}), [f"b[{k}]" for k in range(rows.shape[1])]


def as_expression(name, x, y):
    """State it as ``b0 + b1 * x + b2 * x**2 ...``, the powers written in the model."""
    m = bk.Model()
    columns = {"x": x} if x.ndim == 1 else {f"x{i}": column for i, column in enumerate(x.T)}
    handles = [m.data(column, dims="obs") for column in columns]
    powers = [handles[0] ** k for k in range(1, POWERS[name] + 1)] if name in POWERS else handles
    b = [m.latent(f"b{k}", bk.Flat()) for k in range(len(powers) + (name != "noint1"))]
    mean = sum(own * power for own, power in zip(b[-len(powers) :], powers, strict=True))
    sigma2 = m.latent("sigma2", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(mean if name == "noint1" else b[0] + mean, var=sigma2), dims="obs")
    return m.condition({**columns, "y": y}), [f"b{k}" for k in range(len(b))]


def marginals(posterior, names):
    """Return locations and scales of the Student-t marginals."""
    if names[0] == "b[0]":
        return posterior["b"].canonical["mu"].values, posterior["b"].canonical["sigma"].values
    found = [posterior[name].canonical for name in names]
    return [float(c["mu"]) for c in found], [float(c["sigma"]) for c in found]


def least_squares(rows, y):
    """Return estimates, squares of their standard errors and the residual sum of squares, in fractions."""
    p = len(rows[0])
    system = [
        [sum(r[i] * r[j] for r in rows) for j in range(p)]
        + [sum(r[i] * v for r, v in zip(rows, y, strict=True))]
        + [Fraction(i == j) for j in range(p)]
        for i in range(p)
    ]
    for i in range(p):  # positive definite: no pivoting is needed
        system[i] = [v / system[i][i] for v in system[i]]
        for j in set(range(p)) - {i}:
            system[j] = [a - system[j][i] * b for a, b in zip(system[j], system[i], strict=True)]
    b = [row[p] for row in system]
    rss = sum((v - sum(c * d for c, d in zip(r, b, strict=True))) ** 2 for r, v in zip(rows, y, strict=True))
    return b, [row[p + 1 + i] * rss / (len(y) - p) for i, row in enumerate(system)], rss


def digits(got, exact):
    """Return the log relative error, the least of all entries; 16 where every float is the nearest one."""
    errors = [abs(Fraction(float(g)) - e) / abs(e) for g, e in zip(got, exact, strict=True)]
    return min(16.0, -float(np.log10(max(float(max(errors)), 1e-17))))


@pytest.mark.parametrize("state", [as_matrix, as_expression])
@pytest.mark.parametrize("name", SETS)
def test_regressions(name, state):
    x, y = numbers(name)
    posterior, names = state(name, x, y)
    location, scale = marginals(posterior, names)
    as_floats = [[Fraction(v) for v in row] for row in design(name, x, float)]
    for truth, (of_b, of_se) in zip(
        (
            least_squares(design(name, x, decimal), [decimal(v) for v in y]),
            least_squares(as_floats, [Fraction(float(v)) for v in y]),
        ),
        DIGITS[name],
        strict=True,
    ):
        assert digits(location, truth[0]) >= of_b
        if of_se is None:
            assert truth[2] < 1e-25 * sum(y**2)  # no error but that of decimals as floats
            assert (np.asarray(scale) < 1e-8 * np.abs(location)).all()
        else:
            assert digits(np.square(scale), truth[1]) >= of_se


@pytest.mark.parametrize("name", [n for n in ("norris", "noint1") if there(n) and known([f"nist_linreg_{n}"])])
def test_certified_values_as_published(name):
    """What stands in NIST's tables, beside the fractions above."""
    exact = case(f"nist_linreg_{name}")["exact"]
    posterior, names = as_matrix(name, *numbers(name))
    location, scale = marginals(posterior, names)
    rows = [exact[n] for n in exact if n.startswith("B")]
    np.testing.assert_allclose(location, [r["mean"] for r in rows], rtol=1e-13)
    np.testing.assert_allclose(scale, [r["scale"] for r in rows], rtol=1e-13)
    np.testing.assert_allclose(posterior["b"].sd(), [r["sd"] for r in rows], rtol=1e-13)
    assert float(posterior["sigma2"].mean()) == pytest.approx(exact["sigma2"]["mean"], rel=1e-13)


# ---- one sample -----------------------------------------------------------------------------------------------------
PLACES = {
    "nist_univariate_numacc1": (16, 15),
    "nist_NumAcc2": (15, 13.5),
    "nist_NumAcc3": (15, 9.1),
    "nist_NumAcc4": (15, 7.9),
    "nist_Lew": (15, 15),
    "nist_Lottery": (15, 15),
    "nist_PiDigits": (15, 15),
    "nist_univariate_mavro": (15, 12.5),
    "nist_univariate_michelso": (15, 13.5),
}


@pytest.mark.parametrize("name", [n for n in PLACES if known([n], "data")])
def test_samples(name):
    """Mean and squared standard error of the mean; sums of squares are exact for the given floats to 13 digits."""
    y = np.asarray(data(name)["y"], dtype=float)
    m = bk.Model()
    mu, sigma2 = m.latent("mu", bk.Flat()), m.latent("sigma2", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(mu, var=sigma2), dims="obs")
    found = m.condition({"y": y})["mu"].canonical
    for read, places in ((decimal, PLACES[name]), (Fraction, (15, 13))):
        b, squares, _ = least_squares([[1]] * len(y), [read(float(v)) for v in y])
        assert digits([found["mu"]], b) >= places[0]
        assert digits([float(found["sigma"]) ** 2], squares) >= places[1]
    assert float(found["nu"]) == len(y) - 1


# ---- what refinement is for -----------------------------------------------------------------------------------------
def test_known_noise_priors_and_weights():
    """Nearly collinear rows of unequal weight under normal priors: means, variances and evidence in fractions."""
    rng = np.random.default_rng(0)
    x = 1.0 + 1e-7 * rng.integers(0, 1000, 30) / 1024
    s = 2.0 ** rng.integers(-3, 4, 30)
    y = rng.integers(-50, 50, 30) / 8.0
    m = bk.Model()
    a, b = m.latent("a", bk.Normal(3, 1024)), m.latent("b", bk.Normal(-1, 4096))
    m.observed("y", bk.Normal(a + b * m.data("x", dims="obs"), m.data("s", dims="obs")), dims="obs")
    posterior = m.condition({"x": x, "y": y, "s": s})
    rows = [[1 / Fraction(v), Fraction(u) / Fraction(v)] for u, v in zip(x, s, strict=True)]
    rows += [[Fraction(1, 1024), 0], [0, Fraction(1, 4096)]]
    values = [Fraction(v) / Fraction(u) for v, u in zip(y, s, strict=True)] + [Fraction(3, 1024), Fraction(-1, 4096)]
    means, errors, rss = least_squares(rows, values)
    variances = [e * 30 / rss for e in errors]
    assert digits([posterior["a"].canonical["mu"], posterior["b"].canonical["mu"]], means) > 15
    assert digits([float(posterior[n].canonical["sigma"]) ** 2 for n in "ab"], variances) > 12
    cross = [[sum(r[i] * r[j] for r in rows) for j in range(2)] for i in range(2)]
    det = cross[0][0] * cross[1][1] - cross[0][1] ** 2
    expected = (
        -15 * np.log(2 * np.pi) - np.log(s).sum() - np.log(1024 * 4096) - 0.5 * float(rss) - 0.5 * np.log(float(det))
    )
    assert float(posterior.log_evidence()) == pytest.approx(expected, rel=1e-12)


def test_large_numbers():
    x = np.array([1.0, 1.001, 1.002, 1.003])
    m = bk.Model()
    a, b, s2 = m.latent("a", bk.Flat()), m.latent("b", bk.Flat()), m.latent("s2", bk.InverseGamma(0, 0))
    m.observed("y", bk.Normal(a + b * m.data("x", dims="obs"), var=s2), dims="obs")
    y = np.array([1.0, 3.0, 2.0, 5.0])
    small, large = (m.condition({"x": x, "y": y * f}) for f in (1.0, 2.0**460))
    assert float(large["b"].mean()) == 2.0**460 * float(small["b"].mean())
