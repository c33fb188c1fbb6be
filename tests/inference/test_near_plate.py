"""Plates of many rows as polynomials about the points that matter: against the rows themselves."""

import numpy as np
import pytest
from numpy.polynomial import Polynomial

import bayeskit as bk
from bayeskit.inference.elimination import expansion, near_plate
from bayeskit.inference.elimination.expansion import derivative
from bayeskit.inference.elimination.linear_cells import Layout, LogitRows, LogRows

ROWS, GROUPS = 3000, 40


def groups(rng):
    """Groups of very different sizes: some of one row, one of none."""
    shares = np.concatenate([[0.0], np.full(8, 2e-4), rng.gamma(3.0, size=GROUPS - 9)])
    return rng.choice(GROUPS, ROWS, p=shares / shares.sum())


def posterior(kind, seed=3):
    rng = np.random.default_rng(seed)
    g, x = groups(rng), rng.standard_normal((ROWS, 2))
    effects, b = rng.normal(-0.3, 0.7, GROUPS), np.array([0.5, -0.3])
    m = bk.Model(coords={"g": range(GROUPS)})
    gi, xd = m.index("group", dims="obs", into="g"), m.data("x", dims=("obs", "k"))
    tau = m.latent("tau", bk.HalfNormal(1))
    if kind == "bare":
        mu = m.latent("mu", bk.Normal(0, 2))
        a = m.latent("a", bk.Normal(mu, tau), dims="g")
        m.observed("y", bk.Bernoulli(logit=a[gi] + xd.sum("k")), dims="obs")
        y = rng.random(ROWS) < 1 / (1 + np.exp(-effects[g] - x.sum(axis=1)))
        return m.condition({"group": g, "x": x, "y": y.astype(int)})
    beta = m.latent("beta", bk.Normal(0, 2), dims="k")
    eta = effects[g] + x @ b
    if kind == "poisson":
        t = m.data("t", dims="obs")
        a = m.latent("a", bk.Normal(0, tau), dims="g")
        m.observed("y", bk.Poisson(t * np.exp(a[gi] + xd @ beta)), dims="obs")
        times = rng.gamma(2.0, size=ROWS)
        return m.condition({"group": g, "x": x, "t": times, "y": rng.poisson(times * np.exp(eta))})
    if kind in ("slopes", "rate_slopes"):
        z, level = m.data("z", dims="obs"), m.latent("level", bk.Normal(0, 2))
        a = m.latent("a", bk.Normal(0, tau), dims="g")
        by = rng.standard_normal(ROWS)
        if kind == "rate_slopes":
            by = -0.5 * np.abs(by)  # slopes of one sign, under which the rates rise where the slopes fall
            m.observed("y", bk.Poisson(np.exp(level + a[gi] * z + xd @ beta)), dims="obs")
            y = rng.poisson(np.exp(effects[g] * by + x @ b))
        else:
            m.observed("y", bk.Bernoulli(logit=level + a[gi] * z + xd @ beta), dims="obs")
            y = rng.random(ROWS) < 1 / (1 + np.exp(-effects[g] * by - x @ b))
        return m.condition({"group": g, "x": x, "z": by, "y": y.astype(int)})
    n, w = m.data("n", dims="obs"), m.data("w", dims="g")  # w is of the groups
    gamma, mu = m.latent("gamma", bk.Normal(0, 1)), m.latent("mu", bk.Normal(0, 2))
    a = m.latent("a", bk.Normal(mu, tau), dims="g")
    m.observed("y", bk.Binomial(n, logit=a[gi] + gamma * w[gi] + xd @ beta), dims="obs")
    of_group, trials = rng.standard_normal(GROUPS), rng.integers(1, 6, ROWS)
    y = rng.binomial(trials, 1 / (1 + np.exp(-eta - 0.3 * of_group[g])))
    return m.condition({"group": g, "x": x, "w": of_group, "n": trials, "y": y})


def core_and_piece(kind):
    core = posterior(kind)._plan.collapsed[0]
    (piece,) = core.pieces
    assert isinstance(piece.near, near_plate.NearPlate)
    return core, piece


def environment(core, u):
    values, _ = core.density.scale.unpack(u, core.problem.env)
    return {**core.problem.env, **values}


def by_rows(piece, env):
    near, piece.near = piece.near, None
    try:
        return piece.log_marginal(env)
    finally:
        piece.near = near


@pytest.mark.parametrize("kind", ["bare", "poisson", "slopes", "rate_slopes", "binomial"])
def test_the_polynomials_are_the_rows(kind):
    core, piece = core_and_piece(kind)
    env = environment(core, core.prepared.vectors[:200])
    bound = piece.near.bound(env, 200)
    assert np.isfinite(bound).mean() > 0.7
    exact = by_rows(piece, env)
    matter = exact > exact.max() - 40  # beyond, tolerances are of an integral that is nothing
    found = piece.log_marginal(env)
    assert np.abs(found - exact)[matter].max() < 2 * piece.tolerance
    assert piece.error < 3 * piece.tolerance


@pytest.mark.parametrize("estimates", [False, True])
@pytest.mark.parametrize("kind", ["bare", "poisson", "slopes", "rate_slopes", "binomial"])
def test_draws_obey_the_density_identity(kind, estimates):
    core, piece = core_and_piece(kind)
    piece.estimates = estimates
    env = environment(core, core.prepared.vectors[:100])
    values, own, marginal = piece.propose(env, np.random.default_rng(0), 100)
    joint = sum(f.total({**env, **values}) for f in piece.factors)
    matter = marginal > marginal.max() - 40
    np.testing.assert_allclose((joint - own)[matter], marginal[matter], atol=2 * piece.tolerance, rtol=0)


def test_points_far_off_go_by_the_rows():
    core, piece = core_and_piece("binomial")
    u = core.prepared.vectors[:6].copy()
    u[1::2] += 1.0  # dozens of standard deviations
    env = environment(core, u)
    np.testing.assert_array_equal(np.isfinite(piece.near.bound(env, 6)), [True, False] * 3)
    exact = by_rows(piece, env)
    found = piece.log_marginal(env)
    np.testing.assert_allclose(found[1::2], exact[1::2], rtol=1e-13)
    np.testing.assert_allclose(found[::2], exact[::2], atol=2 * piece.tolerance, rtol=0)
    piece.estimates = False
    values, own, marginal = piece.propose(env, np.random.default_rng(0), 6)
    np.testing.assert_allclose(marginal, found, atol=1e-8, rtol=1e-12)
    joint = sum(f.total({**env, **values}) for f in piece.factors)
    np.testing.assert_allclose(joint - own, marginal, atol=2 * piece.tolerance, rtol=1e-9)


def test_modes_beyond_the_radius_are_told():
    """Where the cells were expanded too closely about their modes, all is done by the rows."""
    core, piece = core_and_piece("bare")
    env = environment(core, core.prepared.vectors[:20])
    exact = by_rows(piece, env)
    narrow = piece.near.expansions[0]
    object.__setattr__(narrow, "radius", 0.2 * narrow.radius)
    np.testing.assert_allclose(piece.log_marginal(env), exact, rtol=1e-13)


def test_the_plan_says_so():
    core, piece = core_and_piece("binomial")
    held = int(np.isfinite(piece.near.expansions[0].radius).sum())
    assert held < GROUPS  # those of few rows are not among them
    assert f"the rows of {held} of them as polynomials about the mode" in core.notes["a"]


def test_it_is_compared_with_the_rows_before_it_is_used(monkeypatch):
    whole = expansion._table
    monkeypatch.setattr(expansion, "_table", lambda *args: 1.001 * whole(*args))
    (piece,) = posterior("binomial")._plan.collapsed[0].pieces
    assert piece.near is None


@pytest.mark.parametrize("kind", ["slopes", "rate_slopes", "poisson"])
def test_the_bound_holds_far_from_the_reference(kind):
    """The remainder grows as the bound says, and is below it."""
    core, piece = core_and_piece(kind)
    near = piece.near
    near.tolerance = np.inf
    u = core.prepared.vectors[:1] + np.linspace(0, 1, 9)[:, None] * (core.prepared.vectors.std(axis=0) * 8)
    env = environment(core, u)
    bound = near.bound(env, 9)
    middle = near.cells(env, 9)[0].expanded[0].middle
    values = []
    for plate in (piece.plate, near):
        cells, rest = plate.cells(env, 9)
        total = np.zeros((1, middle.size))
        for rows in (*cells.rows, *cells.expanded):
            rows.add(middle[None], total)
        values.append(total.reshape(9, -1).sum(axis=1) + rest)
    off = np.abs(values[1] - values[0])
    assert (off <= bound + 2e-6).all()
    assert off[-1] > 1e-4  # so that there was something to bound


@pytest.mark.parametrize("kind", [LogitRows, LogRows])
def test_derivatives_are_below_their_bounds(kind):
    """Wherever in its range the cell's number is, and whatever the signs of the coefficients."""
    rng = np.random.default_rng(5)
    n, ones = 60, np.ones(60)
    offset, c, middle, radius = rng.normal(size=n), rng.normal(size=n), rng.normal(0, 3, n), rng.gamma(2.0, size=n)
    design = expansion.Design(kind, Layout(np.ones(n, int)), offset, rng.normal(size=(2, n)), c, ones, ones)
    share, step = np.linspace(-1, 1, 21)[:, None], rng.normal(0, 0.3, (200, 2))
    bound = expansion._highest(design, 6, middle, radius) * np.exp(np.abs(step) @ expansion._reach(design))[:, None]
    eta = offset + c * (middle + share * radius) + (step @ design.columns)[:, None]
    assert (np.abs(derivative(kind, 6)(eta)) <= (bound + 1e-12 * np.abs(bound))[:, None]).all()


def test_rows_are_summed_some_at_a_time(monkeypatch):
    _, piece = core_and_piece("binomial")
    monkeypatch.setattr(expansion, "AT_ONCE", 20_000)
    (again,) = posterior("binomial")._plan.collapsed[0].pieces
    (one,), (other,) = piece.near.expansions, again.near.expansions
    np.testing.assert_allclose(other.bounds, one.bounds, rtol=1e-12)
    np.testing.assert_allclose(other.table, one.table, rtol=1e-9, atol=1e-12 * np.abs(one.table).max())


@pytest.mark.parametrize("order", range(1, 9))
def test_derivatives_of_the_cumulants(order):
    eta = np.linspace(-6, 6, 41)
    step = 1e-5
    before = derivative(LogitRows, order - 1)
    expected = (before(eta + step) - before(eta - step)) / (2 * step)
    np.testing.assert_allclose(derivative(LogitRows, order)(eta), expected, atol=1e-6 * 2**order)
    np.testing.assert_array_equal(derivative(LogRows, order)(eta), np.exp(eta))


def test_polynomial_rows_go_on_along_their_tangents():
    powers = np.array([[1.0], [0.5], [0.25], [0.1], [0.02]])
    rows = expansion.PolynomialRows(powers, np.array([0.3]), np.array([2.0]), np.array([0.7]), 1.0)
    inside = Polynomial(powers[:, 0])

    def expected(x):
        t = (x - 0.3) / 2.0
        edge = np.clip(t, -1, 1)
        return 0.7 * x - inside(edge) - inside.deriv()(edge) * (t - edge)

    x = np.array([[-4.0], [-1.0], [0.0], [2.2], [5.0]])
    total = np.zeros((5, 1))
    rows.add(x, total)
    np.testing.assert_allclose(total, expected(x), rtol=1e-13)
    np.testing.assert_allclose(rows.derivatives(np.array([1.1]))[0], expected(1.1), rtol=1e-13)
    np.testing.assert_allclose(rows.derivatives(np.array([5.0]))[0], expected(5.0), rtol=1e-13)
    slope = (expected(1.1 + 1e-6) - expected(1.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(rows.derivatives(np.array([1.1]))[1], slope, rtol=1e-8)
