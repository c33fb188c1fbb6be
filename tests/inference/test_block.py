"""The joint Gaussian block against the joint density, residuals and dense algebra."""

from fractions import Fraction

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.inference.block import GaussianBlock
from bayeskit.inference.layout import choose_layout
from bayeskit.model.binding import bind, read
from bayeskit.testing import assert_moments, density_identity, prior_state
from tests.conjugate.exact_algebra import log_normal_density

RNG = np.random.default_rng(20)
START = RNG.bit_generator.state
COV = [[2.0, 0.5], [0.5, 1.0]]


def problem_of(m, data):
    return bind(m, [read(m, data, {})])


def varying_intercepts():
    m = bk.Model()
    g = m.index("g", dims="obs")
    mu, s, sy = m.latent("mu", bk.Normal(0, 10)), m.latent("s", bk.HalfNormal(2)), m.latent("sy", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(mu, s), dims="g")
    m.observed("y", bk.Normal(a[g], sy), dims="obs")
    return m, {"g": list("abacbdda"), "y": RNG.normal(3, 2, 8)}, ["mu", "a"]


def rats(long):
    y, x = RNG.normal(240, 20, (6, 5)), np.array([8.0, 15.0, 22.0, 29.0, 36.0])
    m = bk.Model() if long else bk.Model(coords={"rat": 6, "time": 5})
    ac, bc = m.latent("ac", bk.Normal(0, 1000)), m.latent("bc", bk.Normal(0, 1000))
    sa, sb, sy = (m.latent(n, bk.HalfNormal(3)) for n in ("sa", "sb", "sy"))
    rat = m.index("rat", dims="obs") if long else None
    a, b = m.latent("a", bk.Normal(ac, sa), dims="rat"), m.latent("b", bk.Normal(bc, sb), dims="rat")
    age = m.data("age", dims="obs" if long else "time")
    if long:
        m.observed("y", bk.Normal(a[rat] + b[rat] * (age - 22), sy), dims="obs")
        return m, {"rat": np.repeat(np.arange(6), 5), "age": np.tile(x, 6), "y": y.ravel()}, ["ac", "bc", "a", "b"]
    m.observed("y", bk.Normal(a + b * (age - 22), sy), dims=("rat", "time"))
    return m, {"age": x, "y": y}, ["ac", "bc", "a", "b"]


def regression():
    m = bk.Model(coords={"k": 3})
    X = m.data("X", dims=("obs", "k"))
    b, c = m.latent("b", bk.Normal(0, 5), dims="k"), m.latent("c", bk.Normal(1, 2))
    m.observed("y", bk.Normal(c + X @ b, 3 * m.latent("s", bk.HalfNormal(1))), dims="obs")
    return m, {"X": RNG.normal(size=(9, 3)), "y": RNG.normal(size=9)}, ["b", "c"]


def sums_over_dims():
    m = bk.Model(coords={"k": 3, "j": 2})
    X = m.data("X", dims=("obs", "k"))
    b, d = m.latent("b", bk.Normal(0, 5), dims="k"), m.latent("d", bk.Normal(0, 1), dims=("k", "j"))
    mean = (X * b).sum("k") + (X * d).sum("k").mean("j") + b.mean("k") - d.sum("j").cumsum("k").sum("k")
    m.observed("y", bk.Normal(mean, m.latent("s", bk.HalfNormal(1))), dims="obs")
    return m, {"X": RNG.normal(size=(9, 3)), "y": RNG.normal(size=9)}, ["b", "d"]


def random_walk():
    m = bk.Model(coords={"time": 6})
    step = m.latent("step", bk.Normal(0, m.latent("q", bk.HalfNormal(1))), dims="time")
    start = m.latent("start", bk.Normal(0, 3))
    m.observed("y", bk.Normal(start + step.cumsum("time"), m.latent("s", bk.HalfNormal(1))), dims="time")
    return m, {"y": RNG.normal(size=6)}, ["step", "start"]


def joined():
    m = bk.Model(coords={"free": 2, "category": 3})
    z = m.index("z", dims="obs", into="category")
    a, b = m.latent("a", bk.Normal(0, 1)), m.latent("b", bk.Normal(0, 2), dims="free")
    table = bk.concat([0, b], dim="category")
    pair = bk.stack([a, 2 * a - 1, 0.5], dim="category")
    m.observed("y", bk.Normal(table[z] + pair[z], m.latent("s", bk.HalfNormal(1))), dims="obs")
    return m, {"z": [0, 1, 2, 2, 1], "y": RNG.normal(size=5)}, ["a", "b"]


def mixture():
    m = bk.Model(coords={"k": 3})
    z = m.latent("z", bk.Categorical([0.2, 0.3, 0.5]), dims="obs")
    mu = m.latent("mu", bk.Normal(0, 3), dims="k")
    sigma = m.latent("sigma", bk.HalfNormal(2), dims="k")
    m.observed("y", bk.Normal(mu[z], sigma[z]), dims="obs")
    return m, {"y": RNG.normal(size=7)}, ["mu"]


def vector_mixture():
    m = bk.Model(coords={"k": 3, "v": 2})
    z = m.latent("z", bk.Categorical([0.2, 0.3, 0.5]), dims="obs")
    mu = m.latent("mu", bk.MvNormal(0, COV), dims=("k", "v"))
    m.observed("y", bk.MvNormal(mu[{"k": z}], np.eye(2)), dims=("obs", "v"))
    return m, {"y": RNG.normal(size=(7, 2))}, ["mu"]


def vector_effects(latent):
    m = bk.Model(coords={"v": 2})
    g = m.index("g", dims="obs")
    x = m.data("x", dims="obs")
    centre = m.latent("centre", bk.Normal(0, 3), dims="v")
    if latent == "tau":
        matrix = {"tau": m.latent("T", bk.Wishart(4, COV), dims="v")}
    else:
        matrix = {"cov": m.latent("S", bk.InverseWishart(5, COV), dims="v") if latent == "cov" else COV}
    e = m.latent("e", bk.MvNormal(centre, **matrix), dims=("g", "v"))
    mean = e[{"v": 0, "g": g}] + x * e[{"v": 1, "g": g}]
    m.observed("y", bk.Normal(mean, m.latent("s", bk.HalfNormal(1))), dims="obs")
    return m, {"g": list("aabbbcd"), "x": RNG.normal(size=7), "y": RNG.normal(size=7)}, ["centre", "e"]


def scaled_vectors():
    """A latent covariance times a known number of each plate, its own dims not last."""
    m = bk.Model(coords={"v": 2})
    k = m.data("k", dims="g")
    S = m.latent("S", bk.InverseWishart(5, COV), dims="v")
    mu = m.latent("mu", bk.MvNormal(0, S / 4), dims="v")
    m.observed("y", bk.MvNormal(mu, S / k), dims=("g", "v"))
    return m, {"k": RNG.gamma(2.0, size=3), "y": RNG.normal(size=(3, 2))}, ["mu"]


def matrices_by_group():
    m = bk.Model(coords={"v": 2, "g": 3})
    g = m.index("label", dims="obs", into="g")
    T = m.latent("T", bk.Wishart(4, COV), dims=("g", "v"))
    mu = m.latent("mu", bk.Normal(0, 2), dims=("g", "v"))
    m.observed("y", bk.MvNormal(mu[g], tau=T[g]), dims=("obs", "v"))
    return m, {"label": [0, 1, 2, 2, 0], "y": RNG.normal(size=(5, 2))}, ["mu"]


def triangular():
    m = bk.Model(coords={"v": 2})
    s = m.latent("s", bk.HalfNormal(2))
    root = np.linalg.cholesky(np.array(COV))
    mu = m.latent("mu", bk.MvNormal(0, cholesky=root), dims="v")
    m.observed("y", bk.MvNormal(mu * s, np.array(COV)), dims=("obs", "v"))
    return m, {"y": RNG.normal(size=(4, 2))}, ["mu"]


def log_normal():
    m = bk.Model()
    g = m.index("g", dims="obs")
    a = m.latent("a", bk.Normal(m.latent("mu", bk.Normal(0, 3)), 1), dims="g")
    m.observed("y", bk.LogNormal(a[g], m.latent("s", bk.HalfNormal(1))), dims="obs")
    m.observed("w", bk.LogNormal(2 * a[g] + 1, 0.5), dims="obs")
    return m, {"g": list("aabc"), "y": RNG.gamma(3.0, size=4), "w": RNG.gamma(3.0, size=4)}, ["a", "mu"]


def log_normal_with_missing():
    m = bk.Model()
    a = m.latent("a", bk.Normal(0, 3))
    y = m.observed("y", bk.LogNormal(a, m.latent("s", bk.HalfNormal(1))), dims="obs")
    m.observed("w", bk.Normal(a + y, 0.5), dims="obs")
    return m, {"y": [1.5, np.nan, 0.7], "w": RNG.gamma(3.0, size=3)}, ["a"]


def known_errors():
    m = bk.Model()
    se = m.data("se", dims="school")
    mu, t = m.latent("mu", bk.Normal(0, 5)), m.latent("t", bk.HalfCauchy(5))
    theta = m.latent("theta", bk.Normal(mu, t), dims="school")
    m.observed("y", bk.Normal(theta, se), dims="school")
    return m, {"se": RNG.gamma(5.0, 2.0, 8), "y": RNG.normal(8, 10, 8)}, ["mu", "theta"]


def scale_mixture():
    m = bk.Model()
    x, w = m.data("x", dims="obs"), m.data("w", dims="obs")
    lam = m.latent("lam", bk.Gamma(2, 2), dims="obs")
    s = m.latent("s", bk.HalfNormal(2))
    a, b = m.latent("a", bk.Normal(0, 5)), m.latent("b", bk.Normal(0, 5))
    m.observed("y", bk.Normal(a + b * x, s / np.sqrt(lam * w)), dims="obs")
    return m, {"x": RNG.normal(size=6), "w": RNG.gamma(2.0, size=6), "y": RNG.normal(size=6)}, ["a", "b"]


def added_variances():
    m = bk.Model()
    se = m.data("se", dims="obs")
    t = m.latent("t", bk.HalfNormal(2))
    m.observed("y", bk.Normal(m.latent("mu", bk.Normal(0, 5)), np.sqrt(t**2 + se**2)), dims="obs")
    return m, {"se": RNG.gamma(2.0, size=6), "y": RNG.normal(size=6)}, ["mu"]


def scale_by_group():
    m = bk.Model(coords={"arm": 2})
    g = m.index("g", dims="obs")
    s = m.latent("s", bk.HalfNormal(2), dims=("arm", "g"))
    a = m.latent("a", bk.Normal(0, 3), dims="arm")
    m.observed("y", bk.Normal(a, 2 * s[{"g": g}]), dims=("obs", "arm"))
    return m, {"g": list("abbc"), "y": RNG.normal(size=(4, 2))}, ["a"]


def missing_with_a_child():
    m = bk.Model()
    a, b, s = m.latent("a", bk.Normal(0, 3)), m.latent("b", bk.Normal(0, 3)), m.latent("s", bk.HalfNormal(2))
    x = m.observed("x", bk.Normal(a, s), dims="obs")
    m.observed("y", bk.Normal(1 + 2 * x + b, s), dims="obs")
    return m, {"x": [0.1, np.nan, 1.2, np.nan], "y": [1.0, 2.0, 0.5, -0.3]}, ["a", "b", "x_missing"]


def missing_outside():
    """A covariate with missing entries, outside the block: the design moves."""
    m = bk.Model()
    a, b, s = m.latent("a", bk.Normal(0, 3)), m.latent("b", bk.Normal(0, 3)), m.latent("s", bk.HalfNormal(2))
    x = m.observed("x", bk.Normal(0, 1), dims="obs")
    m.observed("y", bk.Normal(a + b * x, s), dims="obs")
    return m, {"x": [0.1, np.nan, 1.2, np.nan], "y": [1.0, 2.0, 0.5, -0.3]}, ["a", "b"]


def parts_of_vectors():
    m = bk.Model(coords={"v": 2})
    S = m.latent("S", bk.InverseWishart(5, COV), dims="v")
    mu = m.latent("mu", bk.Normal(0, 3), dims="v")
    m.observed("y", bk.MvNormal(mu, S), dims=("obs", "v"))
    return m, {"y": [[0.1, np.nan], [1.0, 2.0], [np.nan, 0.3]]}, ["mu", "y_missing"]


def moving_offset():
    m = bk.Model()
    g = m.index("g", dims="obs")
    k = m.latent("k", bk.Gamma(2, 1))
    a = m.latent("a", bk.Normal(0, 3), dims="g")
    v = m.latent("v", bk.MvNormal(0, COV), dims="e")
    m.observed("y", bk.Normal(a[g] + np.exp(-k), m.latent("s", bk.HalfNormal(2))), dims="obs")
    m.observed("w", bk.MvNormal(v + k, COV), dims=("obs", "e"))
    return m, {"g": list("aabb"), "y": RNG.normal(size=4), "w": RNG.normal(size=(4, 2))}, ["a", "v"]


def flat_priors():
    m = bk.Model()
    g = m.index("g", dims="obs")
    x = m.data("x", dims="obs")
    mu, b = m.latent("mu", bk.Flat()), m.latent("b", bk.Flat())
    a = m.latent("a", bk.Normal(mu, m.latent("t", bk.HalfNormal(1))), dims="g")
    m.observed("y", bk.Normal(a[g] + b * x, m.latent("s", bk.HalfNormal(2))), dims="obs")
    return m, {"g": list("aabbc"), "x": RNG.normal(size=5), "y": RNG.normal(size=5)}, ["mu", "b", "a"]


def nested():
    m = bk.Model()
    school, pupil = m.index("school", dims="pupil"), m.index("pupil_of", dims="obs", into="pupil")
    mu = m.latent("mu", bk.Normal(0, 5))
    t1, t2, s = (m.latent(n, bk.HalfNormal(2)) for n in ("t1", "t2", "s"))
    top = m.latent("top", bk.Normal(mu, t1), dims="school")
    low = m.latent("low", bk.Normal(top[school], t2), dims="pupil")
    m.observed("y", bk.Normal(low[pupil], s), dims="obs")
    data = {"school": list("AABBC"), "pupil_of": [0, 1, 1, 2, 3, 4, 4, 0], "y": RNG.normal(size=8)}
    return m, data, ["mu", "top", "low"]


def crossed():
    m = bk.Model()
    i, j = m.index("i", dims="obs"), m.index("j", dims="obs")
    mu = m.latent("mu", bk.Normal(0, 5))
    ti, tj, s = (m.latent(n, bk.HalfNormal(2)) for n in ("ti", "tj", "s"))
    a, b = m.latent("a", bk.Normal(0, ti), dims="i"), m.latent("b", bk.Normal(0, tj), dims="j")
    m.observed("y", bk.Normal(mu + a[i] + b[j], s), dims="obs")
    data = {"i": list("abcdabcdab"), "j": list("xxxyyyzzzz"), "y": RNG.normal(size=10)}
    return m, data, ["mu", "a", "b"]


def two_way_effects():
    m = bk.Model(coords={"i": 3, "j": 2})
    mu, t, s = m.latent("mu", bk.Normal(0, 5)), m.latent("t", bk.HalfNormal(2)), m.latent("s", bk.HalfNormal(2))
    a = m.latent("a", bk.Normal(0, t), dims="i")
    ab = m.latent("ab", bk.Normal(0, 1.5), dims=("i", "j"))
    m.observed("y", bk.Normal(mu + a + ab, s), dims=("rep", "j", "i"))
    return m, {"y": RNG.normal(size=(4, 2, 3))}, ["mu", "a", "ab"]


def neighbours():
    """Rows that touch two elements of one latent: no grouping is sound."""
    m = bk.Model(coords={"g": 5})
    i, j = (m.index(n, dims="obs", into="g") for n in "ij")
    a = m.latent("a", bk.Normal(0, 2), dims="g")
    m.observed("y", bk.Normal(a[i] - a[j], m.latent("s", bk.HalfNormal(2))), dims="obs")
    return m, {"i": [0, 1, 2, 3], "j": [1, 2, 3, 4], "y": RNG.normal(size=4)}, ["a"]


MODELS = {
    "varying intercepts": varying_intercepts, "rats": lambda: rats(False), "rats, long": lambda: rats(True),
    "regression": regression, "sums over dims": sums_over_dims, "random walk": random_walk, "stack and concat": joined,
    "mixture": mixture, "vector mixture": vector_mixture, "effects, known covariance": lambda: vector_effects(None),
    "effects, Wishart": lambda: vector_effects("tau"), "effects, inverse Wishart": lambda: vector_effects("cov"),
    "covariance over known numbers": scaled_vectors, "matrices by group": matrices_by_group, "triangular": triangular,
    "log-normal": log_normal, "log-normal, missing": log_normal_with_missing, "known errors": known_errors,
    "scale mixture": scale_mixture, "added variances": added_variances, "scale by group": scale_by_group,
    "missing with a child": missing_with_a_child, "missing covariate": missing_outside,
    "parts of vectors": parts_of_vectors, "moving offset": moving_offset, "flat priors": flat_priors, "nested": nested,
    "crossed": crossed, "two-way effects": two_way_effects, "neighbours": neighbours,
}  # fmt: skip


def made(name):
    """The same data whichever tests run, in whatever order."""
    RNG.bit_generator.state = START
    return MODELS[name]()


@pytest.mark.parametrize("name", MODELS)
def test_joint_is_marginal_times_conditional(name):
    m, data, block = made(name)
    density_identity(problem_of(m, data), block, chains=4, seed=1)


@pytest.mark.parametrize("name", MODELS)
def test_residual_sums_are_those_of_residuals(name):
    m, data, names = made(name)
    problem = problem_of(m, data)
    rng = np.random.default_rng(2)
    rest = prior_state(problem, 3, rng, skip=names)
    env = {**problem.env, **rest}
    block = GaussianBlock(problem, names)
    values, x = block.draw(env, rng, 3)
    sums = block.residual_sums(x)
    start = 0
    for bf in block.moving:
        expected = direct_residual_sums(bf, {**env, **values})
        np.testing.assert_allclose(sums[:, start : start + expected.shape[1]], expected, rtol=1e-9, atol=1e-9)
        start += expected.shape[1]
    assert start == sums.shape[1]


def direct_residual_sums(bf, env):
    """Weighted squares (for vectors products of pairs) of value less mean, by noise cell."""
    f = bf.factor
    value = f.value_array(env)
    value = np.log(value) if f.distribution.family == "LogNormal" else value
    e = value - f.parameter_arrays(env)[[p.name for p in f.distribution.parameters].index("mu")]
    cells, cell = bf.precision.cells, bf.precision.cell
    if bf.precision.kind == "matrix":
        e = np.broadcast_to(e, (3, *f.shape, e.shape[-1])).reshape(3, -1, e.shape[-1])
        products = e[..., :, None] * e[..., None, :]
        sums = np.stack([products[:, cell == c].sum(axis=1) for c in range(cells)], axis=1)
        return sums.reshape(3, -1)
    e = np.broadcast_to(e, (3, *f.shape)).reshape(3, -1)
    return np.stack([(bf.precision.weight * e**2)[:, cell == c].sum(axis=1) for c in range(cells)], axis=1)


LAYOUTS = {
    "varying intercepts": (4, 1, 1), "rats": (6, 2, 2), "rats, long": (6, 2, 2), "regression": (0, 0, 4),
    "effects, Wishart": (4, 2, 2), "known errors": (8, 1, 1), "mixture": (0, 0, 3), "neighbours": (0, 0, 5),
    "nested": (5, 1, 4), "crossed": (4, 1, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name):
    m, data, names = made(name)
    layout = GaussianBlock(problem_of(m, data), names).layout
    assert (layout.groups, layout.width, layout.rest) == LAYOUTS[name]
    assert sorted([*layout.wide.ravel(), *layout.dense]) == list(range(layout.wide.size + layout.rest))


def test_the_pilot_keeps_digits_under_a_large_offset():
    rng = np.random.default_rng(3)
    n, groups = 400, 8
    g, x = rng.integers(0, groups, n), rng.normal(5e5, 1e5, n)
    y = 1e8 + rng.normal(0, 1, groups)[g] + 2.0 * x + rng.normal(0, 1, n)
    m = bk.Model(coords={"g": groups})
    label, at = m.index("label", dims="obs", into="g"), m.data("x", dims="obs")
    mu, b = m.latent("mu", bk.Flat()), m.latent("b", bk.Flat())
    t, s = m.latent("t", bk.HalfNormal(1)), m.latent("s", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, t), dims="g")
    m.observed("y", bk.Normal(a[label] + b * at, s), dims="obs")
    problem = problem_of(m, {"label": g, "x": x, "y": y})
    block = GaussianBlock(problem, ["mu", "b", "a"])
    env = {**problem.env, "t": np.ones(3), "s": np.ones(3)}
    values, columns = block.draw(env, rng, 3)
    sums = block.residual_sums(columns)
    for c in range(3):
        direct = [sum_of_squares(values, c, g, x, y), float(((values["a"][c] - values["mu"][c]) ** 2).sum())]
        np.testing.assert_allclose(sorted(sums[c]), sorted(direct), rtol=1e-6)
        assert 300 < direct[0] < 500


def sum_of_squares(values, c, g, x, y):
    a, b = values["a"][c].astype(np.longdouble), np.longdouble(values["b"][c])
    return float(((y.astype(np.longdouble) - a[g] - b * x) ** 2).sum())


def test_draws_have_the_moments_of_the_conditional():
    m, data, names = made("nested")
    problem = problem_of(m, data)
    rest = {"t1": np.array([0.7]), "t2": np.array([1.1]), "s": np.array([0.9])}
    env = {**problem.env, **rest}
    block = GaussianBlock(problem, names)
    _, x = block.draw(env, np.random.default_rng(4), 4000)
    P, h = dense_system(block, env)
    cov = np.linalg.inv(P)
    assert_moments(x[None], cov @ h, np.sqrt(np.diag(cov)))
    first, second = x[:, 0] - (cov @ h)[0], x[:, 3] - (cov @ h)[3]
    assert_moments((first * second)[None], cov[0, 3])


def dense_system(block, env):
    A, C, D, hw, hd, _ = (part[0] for part in block.layout.split(block.flat_system(env)))
    P, h = np.zeros((block.total, block.total)), np.zeros(block.total)
    for g, wide in enumerate(block.layout.wide):
        P[np.ix_(wide, wide)], P[np.ix_(wide, block.layout.dense)] = A[g], C[g]
        P[np.ix_(block.layout.dense, wide)] = C[g].T
        h[wide] = hw[g]
    P[np.ix_(block.layout.dense, block.layout.dense)] = D
    h[block.layout.dense] = hd
    return P, h


def test_later_batches_are_rows_of_the_same_block():
    m = bk.Model()
    g = m.index("g", dims="obs")
    s, t = m.latent("s", bk.HalfNormal(1), dims="g"), m.latent("t", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(0, t), dims="g")
    m.observed("y", bk.Normal(a[g], s[g]), dims="obs")
    first = {"g": list("abcab"), "y": RNG.normal(size=5)}
    second = {"g": list("cb"), "y": RNG.normal(size=2)}
    problem = bind(m, [read(m, first, {}), read(m, second, {})])
    density_identity(problem, ["a"], seed=2)
    density_identity(problem, "a", seed=2)
    density_identity(problem, "s", seed=2)


def test_latents_whose_own_dim_is_observed_in_part():
    m = bk.Model()
    s = m.latent("s", bk.HalfNormal(1), dims="g")
    a = m.latent("a", bk.Normal(0, 2), dims="g")
    m.observed("y", bk.Normal(a, s), dims="g")
    problem = bind(m, [read(m, {"y": xr_series("abc")}, {}), read(m, {"y": xr_series("cb")}, {})])
    density_identity(problem, ["a"], seed=2)
    density_identity(problem, "s", seed=2)


def xr_series(labels):
    import xarray as xr

    return xr.DataArray(np.arange(len(labels)) + 0.3, dims="g", coords={"g": list(labels)})


def test_a_table_too_large_is_summed_anew(monkeypatch):
    from bayeskit.inference import block as module

    m, data, names = made("matrices by group")
    problem = problem_of(m, data)
    env = {**problem.env, **prior_state(problem, 2, np.random.default_rng(1))}
    expected = GaussianBlock(problem, names).log_marginal(env)
    monkeypatch.setattr(module, "_MOST_SUMS", 0)
    block = GaussianBlock(problem, names)
    assert not block.is_static
    np.testing.assert_allclose(block.log_marginal(env), expected, rtol=1e-12)
    density_identity(problem, names)


def test_no_candidate_is_taken_unsound():
    m, data, names = made("neighbours")
    problem = problem_of(m, data)
    block = GaussianBlock(problem, names)
    designs = [(bf.design, bf.design.known_terms(problem.env)) for bf in block.factors]
    layout = choose_layout(block.latents, block.columns, designs)
    assert layout.groups == 0


# ---- scales that go to zero or to infinity ----------------------------------------------------------------------
def covariance(groups, sa, sy, s0):
    """Of observations of groups, the group effects and their mean integrated out, in fractions."""
    sa, sy, s0 = (Fraction(float(s)) ** 2 for s in (sa, sy, s0))
    n = len(groups)
    return [[s0 + sa * (groups[i] == groups[j]) + sy * (i == j) for j in range(n)] for i in range(n)]


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6, 1e8])
def test_marginal_holds_at_any_scale(scale):
    m, data, names = made("varying intercepts")
    problem = problem_of(m, data)
    y = data["y"]
    block = GaussianBlock(problem, names)
    env = {**problem.env, "s": np.array([scale, 1.0]), "sy": np.array([1.3, 1.3])}
    for c, sa in enumerate([scale, 1.0]):
        expected = log_normal_density([Fraction(float(v)) for v in y], covariance(data["g"], sa, 1.3, 10.0))
        assert block.log_marginal(env)[c] == pytest.approx(expected, rel=1e-9)
    noisy = {**problem.env, "s": np.array([1.0]), "sy": np.array([scale])}
    expected = log_normal_density([Fraction(float(v)) for v in y], covariance(data["g"], 1.0, scale, 10.0))
    assert block.log_marginal(noisy)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e8])
def test_residuals_hold_at_any_scale(scale):
    m, data, names = made("varying intercepts")
    problem = problem_of(m, data)
    block = GaussianBlock(problem, names)
    env = {**problem.env, "s": np.full(4000, scale), "sy": np.full(4000, 1.3)}
    values, x = block.draw(env, np.random.default_rng(6), 4000)
    sums = block.residual_sums(x)
    place = [bf.factor.name for bf in block.moving].index("a")
    direct = ((values["a"] - values["mu"][:, None]) ** 2).sum(axis=1)
    assert (sums[:, place] > 0).all()
    size = np.abs(values["a"]).max(axis=1)
    rounding = 2 * np.finfo(float).eps * size  # of one residual, where the values themselves are rounded
    assert (np.abs(sums[:, place] - direct) < 1e-8 * direct + 4 * rounding * np.sqrt(4 * direct)).all()
    if scale == 1e-8:  # no data reach the spread of the effects: it is that of the prior
        assert_moments(sums[None, :, place] / scale**2, mean=4.0, sd=8**0.5)


def test_effects_with_random_slopes_at_tiny_scales():
    """Two wide unknowns a group, each with its own vanishing scale; the limit is a pooled regression."""
    m, data, names = made("rats, long")
    problem = problem_of(m, data)
    block = GaussianBlock(problem, names)
    tiny = {**problem.env, "sa": np.array([1e-9]), "sb": np.array([1e-9]), "sy": np.array([20.0])}
    X = np.stack([np.ones(30), data["age"] - 22], axis=1)
    cov = 400 * np.eye(30) + 1e6 * X @ X.T
    expected = -0.5 * (data["y"] @ np.linalg.solve(cov, data["y"]) + np.linalg.slogdet(2 * np.pi * cov)[1])
    assert block.log_marginal(tiny)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_draws_come_with_their_density(name):
    m, data, names = made(name)
    problem = problem_of(m, data)
    env = {**problem.env, **prior_state(problem, 3, np.random.default_rng(2), skip=names)}
    block = GaussianBlock(problem, names)
    values, density = block.draw_with_density(env, np.random.default_rng(5), 3)
    again, x = block.draw(env, np.random.default_rng(5), 3)
    for n in names:
        np.testing.assert_array_equal(values[n], again[n])
    np.testing.assert_allclose(density, block.log_density(env, x), rtol=1e-8, atol=1e-8)
