"""Networks of finite latents by variable elimination, against sums over all joint states written out with NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln, logsumexp

import bayeskit as bk
from bayeskit.errors import RefusedError, SupportError
from bayeskit.inference.networks import component

LIMIT = 4.5  # standard errors
LAWS = (0.01, 0.5)  # of asia and of smoke


def chances(distribution, states):
    """Probabilities of 0..states-1, last."""
    return np.stack([np.exp(distribution.log_prob(k).values) for k in range(states)], axis=-1)


def asia():
    """Lauritzen and Spiegelhalter (1988), table 1."""
    m = bk.Model()
    visit, smoke = (m.latent(n, bk.Bernoulli(p)) for n, p in zip(("asia", "smoke"), LAWS, strict=True))
    tub = m.latent("tub", bk.Bernoulli(np.where(visit, 0.05, 0.01)))
    lung = m.latent("lung", bk.Bernoulli(np.where(smoke, 0.1, 0.01)))
    bronc = m.latent("bronc", bk.Bernoulli(np.where(smoke, 0.6, 0.3)))
    either = tub | lung
    m.latent("xray", bk.Bernoulli(np.where(either, 0.98, 0.05)))
    m.latent("dysp", bk.Bernoulli(np.where(either, np.where(bronc, 0.9, 0.7), np.where(bronc, 0.8, 0.1))))
    return m


def asia_joint():
    """The joint probabilities over (asia, smoke, tub, lung, bronc, xray, dysp), and their names."""
    p = np.zeros((2,) * 7)
    for a, s, t, lu, b, x, d in itertools.product(range(2), repeat=7):
        e = t or lu

        def of(value, chance):
            return chance if value else 1 - chance

        p[a, s, t, lu, b, x, d] = (
            of(a, 0.01)
            * of(s, 0.5)
            * of(t, 0.05 if a else 0.01)
            * of(lu, 0.1 if s else 0.01)
            * of(b, 0.6 if s else 0.3)
            * of(x, 0.98 if e else 0.05)
            * of(d, {(1, 1): 0.9, (1, 0): 0.7, (0, 1): 0.8, (0, 0): 0.1}[int(e), b])
        )
    return p, ["asia", "smoke", "tub", "lung", "bronc", "xray", "dysp"]


@pytest.mark.parametrize("known", [{"xray": 1}, {"asia": 1, "dysp": 1}, {"asia": 1, "dysp": 1, "xray": 0}, {"lung": 0}])
def test_asia(known):
    joint, names = asia_joint()
    p = joint[tuple(known.get(n, slice(None)) for n in names)]
    unknown = [n for n in names if n not in known]
    m = asia()
    m.observed("seen", bk.Bernoulli(0.5))  # a model must have data; these say nothing
    posterior = m.condition({"seen": 1, **known})
    found = {n: posterior[n].mean() for n in unknown if n not in posterior._plan.forward}
    assert found, "nothing was left to infer"
    for i, name in enumerate(unknown):
        if name in found:
            expected = p.sum(axis=tuple(j for j in range(p.ndim) if j != i))[1] / p.sum()
            assert float(found[name]) == pytest.approx(expected, rel=1e-12)
    assert posterior.log_evidence() == pytest.approx(np.log(0.5) + np.log(p.sum()), abs=1e-12)


def test_published_chest_clinic_figures():
    """Of a smoker with a positive x-ray: chances of tuberculosis and lung cancer from the joint table."""
    joint, _ = asia_joint()
    m = asia()
    posterior = m.condition({"smoke": 1, "xray": 1, "dysp": 1})
    p = joint[:, 1, :, :, :, 1, 1]
    assert float(posterior["tub"].mean()) == pytest.approx(p[:, 1].sum() / p.sum(), rel=1e-12)
    mode = posterior.mode()
    best = np.unravel_index(p.argmax(), p.shape)
    assert tuple(int(mode.values[n]) for n in ("asia", "tub", "lung", "bronc")) == best
    assert mode.log_density == pytest.approx(np.log(p.max()), abs=1e-12)
    assert mode.covariance is None
    assert "finite network" in posterior.explain() and posterior.is_exact


# ---- random networks ----------------------------------------------------------------------------------------------
@st.composite
def networks(draw):
    """Parents, states, tables and which nodes are observed."""
    n = draw(st.integers(3, 10))
    states = draw(st.lists(st.integers(2, 4 if n < 8 else 3), min_size=n, max_size=n))
    parents = [sorted(draw(st.sets(st.integers(0, i - 1), max_size=min(i, 3)))) if i else [] for i in range(n)]
    seen = draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=max(1, n // 3)))
    return parents, states, sorted(seen), draw(st.integers(0, 2**31))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks())
def test_random_networks(network):
    parents, states, seen, seed = network
    rng = np.random.default_rng(seed)
    n = len(states)
    tables = [rng.dirichlet(np.full(states[i], 0.5), [states[j] for j in parents[i]]) for i in range(n)]
    joint = np.ones(states)
    for i in range(n):
        axes = [*parents[i], i]
        joint = joint * tables[i].transpose(np.argsort(axes)).reshape([states[k] if k in axes else 1 for k in range(n)])
    at = np.unravel_index(rng.choice(joint.size, p=joint.ravel() / joint.sum()), joint.shape)
    observed = {f"x{i}": int(at[i]) for i in seen}
    p = joint[tuple(int(at[i]) if i in seen else slice(None) for i in range(n))]
    m, data, nodes = bk.Model(), {}, []
    for i in range(n):
        dims = (*(f"p{i}_{j}" for j in parents[i]), f"k{i}")
        table = m.data(f"table{i}", dims=dims)
        data[f"table{i}"] = tables[i]
        row = table[{f"p{i}_{j}": nodes[j] for j in parents[i]}] if parents[i] else table
        state = m.observed if i in seen else m.latent
        nodes.append(state(f"x{i}", bk.Categorical(row)))
    posterior = m.condition(data | observed)
    assert posterior.log_evidence() == pytest.approx(np.log(p.sum()), abs=1e-10)
    hidden = [i for i in range(n) if i not in seen]
    for axis, i in enumerate(hidden):
        if f"x{i}" not in posterior._plan.forward and posterior._plan.component_of(f"x{i}"):
            marginal = p.sum(axis=tuple(k for k in range(p.ndim) if k != axis)) / p.sum()
            np.testing.assert_allclose(chances(posterior[f"x{i}"], states[i]), marginal, atol=1e-10)


def test_draws_and_density_agree_with_the_joint():
    joint, _ = asia_joint()
    posterior = asia().condition({"xray": 1, "dysp": 1})
    p = joint[..., 1, 1] / joint[..., 1, 1].sum()
    tree = posterior.sample(draws=5000, seed=3)
    names = ["asia", "smoke", "tub", "lung", "bronc"]
    states = [tree.posterior[n].values.ravel() for n in names]
    counts = np.zeros((2,) * 5)
    np.add.at(counts, tuple(states), 1)
    expected = counts.sum() * p
    often = expected > 25
    z = (counts - expected)[often] / np.sqrt((expected * (1 - p))[often])
    assert often.sum() > 5 and np.abs(z).max() < LIMIT
    values = {n: tree.posterior[n] for n in names}
    log_p = posterior.log_prob(values)
    np.testing.assert_allclose(log_p.values.ravel(), np.log(p[tuple(states)]), atol=1e-11)
    np.testing.assert_allclose(
        tree.sample_stats["lp"].values.ravel(), np.log(joint[..., 1, 1][tuple(states)]), atol=1e-11
    )
    found = posterior._plan.exact[0].log_density({n: s for n, s in zip(names, states, strict=True)})
    np.testing.assert_allclose(found, log_p.values.ravel(), atol=1e-11)


# ---- chains -------------------------------------------------------------------------------------------------------
STEPS, MEANS = 60, np.array([-1.0, 0.5, 2.0])
MOVES = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
FIRST = np.array([0.5, 0.3, 0.2])


def forward_backward(y):
    """Log evidence and smoothed probabilities of a Gaussian hidden Markov model, in logs."""
    lik = stats.norm.logpdf(y[:, None], MEANS, 1)
    up = [np.log(FIRST) + lik[0]]
    for row in lik[1:]:
        up.append(logsumexp(up[-1][:, None] + np.log(MOVES), axis=0) + row)
    down = [np.zeros(3)]
    for row in lik[:0:-1]:
        down.append(logsumexp(np.log(MOVES) + row + down[-1], axis=1))
    both = np.array(up) + np.array(down[::-1])
    return logsumexp(up[-1]), np.exp(both - logsumexp(both, axis=1, keepdims=True))


def viterbi(y):
    lik = stats.norm.logpdf(y[:, None], MEANS, 1)
    best, back = np.log(FIRST) + lik[0], []
    for row in lik[1:]:
        each = best[:, None] + np.log(MOVES)
        back.append(each.argmax(axis=0))
        best = each.max(axis=0) + row
    path = [int(best.argmax())]
    for arrows in back[::-1]:
        path.append(int(arrows[path[-1]]))
    return path[::-1]


def chain_by_statements(y):
    """A statement for every step, stacked below the data."""
    m = bk.Model(coords={"t": len(y), "a": 3, "b": 3})
    moves, means = m.data("moves", dims=("a", "b")), m.data("means", dims="a")
    z = [m.latent("z0", bk.Categorical(FIRST))]
    for t in range(1, len(y)):
        z.append(m.latent(f"z{t}", bk.Categorical(moves[{"a": z[-1]}])))
    m.observed("y", bk.Normal(means[{"a": bk.stack(z, dim="t")}], 1), dims="t")
    return m.condition({"moves": MOVES, "means": MEANS, "y": y})


def chain_by_factor(y):
    """One latent over the steps, and a term of the density for every move."""
    m = bk.Model(coords={"t": len(y), "move": len(y) - 1, "a": 3, "b": 3})
    log_moves, log_first = m.data("log_moves", dims=("a", "b")), m.data("log_first", dims="a")
    means = m.data("means", dims="a")
    before, after = (m.index(n, dims="move", into="t") for n in ("before", "after"))
    z = m.latent("z", bk.DiscreteUniform(0, 2), dims="t")
    m.factor("moves", log_moves[{"a": z[before], "b": z[after]}])
    m.factor("first", log_first[{"a": z[0]}])
    m.observed("y", bk.Normal(means[{"a": z}], 1), dims="t")
    steps = np.arange(len(y))
    return m.condition({
        "log_moves": np.log(MOVES), "log_first": np.log(FIRST), "means": MEANS, "y": y,
        "before": steps[:-1], "after": steps[1:],
    })  # fmt: skip


@pytest.mark.parametrize("statement", [chain_by_statements, chain_by_factor])
def test_hidden_markov_chain(statement):
    y = np.random.default_rng(4).normal(size=STEPS) * 1.5
    evidence, smoothed = forward_backward(y)
    posterior = statement(y)
    by_element = statement is chain_by_statements
    uniform = 0.0 if by_element else STEPS * np.log(3)  # the prior that the terms are multiplied with
    assert posterior.log_evidence() + uniform == pytest.approx(evidence, abs=1e-10)
    names = [f"z{t}" for t in range(STEPS)]
    if by_element:
        ours = np.array([chances(posterior[n], 3) for n in names])
    else:
        ours = chances(posterior["z"], 3)
    np.testing.assert_allclose(ours, smoothed, atol=1e-11)
    mode = posterior.mode().values
    path = [int(mode[n]) for n in names] if by_element else [int(v) for v in mode["z"]]
    assert path == viterbi(y)
    tree = posterior.sample(draws=1000, seed=1).posterior
    drawn = np.stack([tree[n].values for n in names], -1) if by_element else tree["z"].values
    for k in range(3):
        share, p = (drawn == k).mean(axis=(0, 1)), smoothed[:, k]
        assert np.abs((share - p) / np.sqrt(p * (1 - p) / 4000 + 1e-9)).max() < LIMIT
    both = (drawn[..., 1:] == 1) & (drawn[..., :-1] == 1)  # pairs: draws are joint, not of each step alone
    p = pair_probabilities(stats.norm.logpdf(y[:, None], MEANS, 1), 1)
    assert np.abs((both.mean(axis=(0, 1)) - p) / np.sqrt(p * (1 - p) / 4000)).max() < LIMIT


def pair_probabilities(lik, k):
    """Chances of state k at both of two consecutive steps, by messages from both sides."""
    up = [np.log(FIRST) + lik[0]]
    for row in lik[1:]:
        up.append(logsumexp(up[-1][:, None] + np.log(MOVES), axis=0) + row)
    down = [np.zeros(3)]
    for row in lik[:0:-1]:
        down.append(logsumexp(np.log(MOVES) + row + down[-1], axis=1))
    down = down[::-1]
    joint = [up[t][k] + np.log(MOVES[k, k]) + lik[t + 1, k] + down[t + 1][k] for t in range(len(lik) - 1)]
    return np.exp(np.array(joint) - logsumexp(up[-1]))


def test_a_chain_of_a_thousand_steps():
    """Evidence below the smallest double by hundreds of orders of magnitude."""
    y = np.random.default_rng(5).normal(size=1000) * 3
    evidence, smoothed = forward_backward(y)
    posterior = chain_by_factor(y)
    assert posterior.log_evidence() + 1000 * np.log(3) == pytest.approx(evidence, rel=1e-12)
    np.testing.assert_allclose(chances(posterior["z"], 3), smoothed, atol=1e-9)
    assert [int(v) for v in posterior.mode().values["z"]] == viterbi(y)
    assert "1000 variables eliminated; the widest table has 9 numbers" in posterior.explain()


# ---- plates -------------------------------------------------------------------------------------------------------
def test_elements_of_plates_are_worked_on_together():
    """A global switch above groups above items, items in groups by index: against the sum written out."""
    rng = np.random.default_rng(6)
    groups, items = 3, 7
    group = rng.integers(0, groups, items)
    m = bk.Model(coords={"group": groups, "item": items})
    of = m.index("of", dims="item", into="group")
    base = m.latent("base", bk.Bernoulli(0.3))
    high = m.latent("high", bk.Binomial(2, 0.2 + 0.5 * base), dims="group")
    kind = m.latent("kind", bk.Bernoulli(0.1 + 0.3 * high[of] + 0.1 * base), dims="item")
    m.observed("y", bk.Normal(kind - 0.5 * high[of], 0.7), dims="item")
    y = rng.normal(size=items)
    posterior = m.condition({"of": group, "y": y})
    total, first_high, first_kind = [], [], []
    for b in range(2):
        each = []  # (groups, 3): log weight of each value of high, items summed out
        for g in range(groups):
            row = []
            for h in range(3):
                value = stats.binom.logpmf(h, 2, 0.2 + 0.5 * b)
                for i in np.flatnonzero(group == g):
                    p = 0.1 + 0.3 * h + 0.1 * b
                    terms = [stats.bernoulli.logpmf(k, p) + stats.norm.logpdf(y[i], k - 0.5 * h, 0.7) for k in range(2)]
                    value += logsumexp(terms)
                row.append(value)
            each.append(row)
        total.append(np.log([0.7, 0.3][b]) + logsumexp(each, axis=1).sum())
        first_high.append(np.exp(each - logsumexp(each, axis=1, keepdims=True)))
        p = 0.1 + 0.3 * np.arange(3) + 0.1 * b
        ones = p * stats.norm.pdf(y[:, None], 1 - 0.5 * np.arange(3), 0.7)
        noughts = (1 - p) * stats.norm.pdf(y[:, None], -0.5 * np.arange(3), 0.7)
        first_kind.append((first_high[-1][group] * ones / (ones + noughts)).sum(axis=1))
    weights = np.exp(total - logsumexp(total))
    assert posterior.log_evidence() == pytest.approx(logsumexp(total), abs=1e-11)
    assert float(posterior["base"].mean()) == pytest.approx(weights[1], rel=1e-10)
    expected = weights[0] * first_high[0] + weights[1] * first_high[1]
    np.testing.assert_allclose(chances(posterior["high"], 3), expected, atol=1e-12)
    expected = weights[0] * first_kind[0] + weights[1] * first_kind[1]
    np.testing.assert_allclose(posterior["kind"].mean().values, expected, atol=1e-12)
    assert "3 variables eliminated, each along 'group', 'item' as one" in posterior.explain()
    tree = posterior.sample(draws=2500, seed=2).posterior
    share = tree["kind"].values.mean(axis=(0, 1))
    assert np.abs((share - expected) / np.sqrt(expected * (1 - expected) / 10_000)).max() < LIMIT


def test_a_hundred_thousand_independent_elements_are_not_unrolled():
    n = 100_000
    rng = np.random.default_rng(7)
    m = bk.Model(coords={"i": n})
    a = m.latent("a", bk.Bernoulli(0.3), dims="i")
    b = m.latent("b", bk.Bernoulli(0.2 + 0.6 * a), dims="i")
    m.observed("y", bk.Normal(2.0 * b + a, 1), dims="i")
    y = rng.normal(size=n)
    posterior = m.condition({"y": y})
    joint = np.stack([
        [p * q, stats.norm.pdf(y, 2 * v + u, 1)]
        for u, v, p, q in ((0, 0, 0.7, 0.8), (0, 1, 0.7, 0.2), (1, 0, 0.3, 0.2), (1, 1, 0.3, 0.8))
        for p, q in [(np.full(n, p), q)]
    ]).prod(axis=1)  # fmt: skip
    assert posterior.log_evidence() == pytest.approx(np.log(joint.sum(axis=0)).sum(), rel=1e-12)
    np.testing.assert_allclose(posterior["a"].mean().values, joint[2:].sum(axis=0) / joint.sum(axis=0), atol=1e-12)
    assert "2 variables eliminated, each along 'i' as one" in posterior.explain()


def test_elements_that_meet_are_unrolled_and_a_wide_network_is_swept():
    """Spins on a grid with ferromagnetic terms: against all states of a small one; a wide one goes to the sweep."""

    def grid(side):
        at = np.arange(side * side).reshape(side, side)
        pairs = np.concatenate([
            np.stack([at[:, :-1].ravel(), at[:, 1:].ravel()], 1), np.stack([at[:-1].ravel(), at[1:].ravel()], 1)
        ])  # fmt: skip
        m = bk.Model(coords={"site": side * side, "pair": len(pairs)})
        one, two = (m.index(n, dims="pair", into="site") for n in ("one", "two"))
        spin = m.latent("spin", bk.Bernoulli(0.5), dims="site")
        m.factor("bond", 0.8 * (2 * spin[one] - 1) * (2 * spin[two] - 1))
        m.observed("y", bk.Normal(spin, 1.0), dims="site")
        y = np.sin(np.arange(side * side))
        return m.condition({"one": pairs[:, 0], "two": pairs[:, 1], "y": y}), pairs, y

    posterior, pairs, y = grid(3)
    states = np.array(list(itertools.product(range(2), repeat=9)))
    signs = 2 * states - 1
    logs = 9 * np.log(0.5) + 0.8 * (signs[:, pairs[:, 0]] * signs[:, pairs[:, 1]]).sum(axis=1)
    logs = logs + stats.norm.logpdf(y, states, 1).sum(axis=1)
    assert posterior.log_evidence() == pytest.approx(logsumexp(logs), abs=1e-11)
    p = np.exp(logs - logsumexp(logs))
    np.testing.assert_allclose(posterior["spin"].mean().values, p @ states, atol=1e-12)
    assert tuple(posterior.mode().values["spin"].values) == tuple(states[logs.argmax()])
    assert "not renormalised" in posterior.explain()
    wide, _, _ = grid(20)  # one latent whose elements meet has no step in a sweep either
    with pytest.raises(RefusedError, match=r"No step fits .*Not exact because eliminating 400 finite variables takes"):
        wide.explain()
    with pytest.raises(RefusedError, match="The mode cannot be had: eliminating 400 finite variables"):
        wide.mode()


def test_a_network_too_wide_is_swept():
    """Thirty variables that all meet: the widest table would have 2**30 numbers."""
    m = bk.Model(coords={"i": 30, "pair": 435})
    z = bk.stack([m.latent(f"z{i}", bk.Bernoulli(0.5)) for i in range(30)], dim="i")
    one, two = (m.index(n, dims="pair", into="i") for n in ("one", "two"))
    m.factor("bond", 0.1 * z[one] * z[two])
    m.observed("y", bk.Normal(z, 1), dims="i")
    pairs = np.array(list(itertools.combinations(range(30), 2)))
    posterior = m.condition({"one": pairs[:, 0], "two": pairs[:, 1], "y": np.zeros(30)})
    text = posterior.explain()
    assert text.startswith("method: gibbs") and "takes a table of 1,073,741,824 numbers" in text
    with pytest.raises(RefusedError, match=r"method='exact' cannot be honoured.*a table of 1,073,741,824"):
        posterior.sample(method="exact")
    assert posterior.sample(draws=2, tune=2, chains=1, seed=1).posterior["z0"].shape == (1, 2)


# ---- statements ---------------------------------------------------------------------------------------------------
def test_conditions_sums_and_missing_entries():
    """A condition on two latents, a child of a sum over a dim, and rows with entries missing here and there."""
    m = bk.Model(coords={"i": 4, "row": 5})
    z = m.latent("z", bk.Bernoulli(0.4), dims="i")
    w = m.latent("w", bk.DiscreteUniform(1, 3))
    m.require(w > z[0])
    m.observed("count", bk.Poisson(0.5 + z.sum("i") * w))
    a = m.observed("a", bk.Bernoulli(0.1 + 0.2 * w), dims="row")
    m.observed("b", bk.Bernoulli(0.2 + 0.5 * a), dims="row")
    nan = np.nan
    posterior = m.condition({"count": 4, "a": [1, nan, 0, nan, nan], "b": [1, 0, nan, 1, nan]})
    logs, counts, ws = [], [], []
    for state in itertools.product(range(2), repeat=4):
        for value in (1, 2, 3):
            if value <= state[0]:
                continue
            p = 0.1 + 0.2 * value
            row = {1: p * 0.7, 2: (1 - p) * 0.8 + p * 0.3, 3: 1 - p, 4: (1 - p) * 0.2 + p * 0.7}
            logs.append(
                stats.bernoulli.logpmf(state, 0.4).sum()
                - np.log(3)
                + stats.poisson.logpmf(4, 0.5 + sum(state) * value)
                + np.log(list(row.values())).sum()
            )
            counts.append(state)
            ws.append(value)
    p = np.exp(logs - logsumexp(logs))
    assert posterior.log_evidence() == pytest.approx(logsumexp(logs), abs=1e-11)
    np.testing.assert_allclose(posterior["z"].mean().values, p @ np.array(counts), atol=1e-12)
    drawn = posterior.sample(draws=2000, seed=1).posterior["w"].values
    mean = p @ np.array(ws)
    assert abs(drawn.mean() - mean) < LIMIT * np.sqrt(p @ (np.array(ws) - mean) ** 2 / drawn.size)


def test_values_that_do_not_start_at_zero():
    """Two dice seen through their sum."""
    m = bk.Model()
    one, two = (m.latent(n, bk.DiscreteUniform(1, 6)) for n in ("one", "two"))
    m.observed("total", bk.Normal(one + two, 0.5))
    posterior = m.condition({"total": 4.0})
    logs = np.array([[stats.norm.logpdf(4, i + j, 0.5) - np.log(36) for j in range(1, 7)] for i in range(1, 7)])
    assert posterior.log_evidence() == pytest.approx(logsumexp(logs), abs=1e-12)
    drawn = posterior.sample(draws=2000, seed=1).posterior
    p = np.exp(logs - logsumexp(logs)).sum(axis=1)
    np.testing.assert_allclose(np.exp(posterior["one"].log_prob(np.arange(1, 7))), p, rtol=1e-10)
    share = np.array([(drawn["one"].values == k).mean() for k in range(1, 7)])
    assert np.abs((share - p) / np.sqrt(p * (1 - p) / 8000 + 1e-9)).max() < LIMIT


def test_impossible_evidence_is_told():
    m = bk.Model()
    a, b = m.latent("a", bk.Bernoulli(0.5)), m.latent("b", bk.Bernoulli(0.5))
    m.observed("y", bk.Bernoulli(np.where(a & b, 0.5, 0.0)))
    m.require(a + b < 2)
    posterior = m.condition({"y": 1})
    with pytest.raises(SupportError, match=r"must be possible together. Got a probability of zero.*'a', 'b'"):
        posterior.log_evidence()
    with pytest.raises(SupportError):
        posterior.sample()


def test_strong_evidence_from_both_sides_does_not_underflow():
    """Each child all but rules out what the other says; only logs keep both."""
    m = bk.Model(coords={"i": 400})
    a = m.latent("a", bk.Bernoulli(0.5))
    b = m.latent("b", bk.Bernoulli(np.where(a, 0.9, 0.2)))
    m.observed("x", bk.Normal(5.0 * a, 1), dims="i")
    m.observed("y", bk.Normal(-5.0 * b, 1), dims="i")
    x, y = np.zeros(400), np.full(400, -5.0)
    posterior = m.condition({"x": x, "y": y})
    logs = {
        (u, v): np.log(0.5)
        + stats.bernoulli.logpmf(v, [0.2, 0.9][u])
        + stats.norm.logpdf(x, 5 * u).sum()
        + stats.norm.logpdf(y, -5 * v).sum()
        for u in range(2)
        for v in range(2)
    }
    assert posterior.log_evidence() == pytest.approx(logsumexp(list(logs.values())), rel=1e-12)
    assert posterior.log_prob({"a": 1, "b": 1}) == pytest.approx(logs[1, 1] - logsumexp(list(logs.values())), rel=1e-12)


def test_too_many_variables_are_refused(monkeypatch):
    monkeypatch.setattr(component, "MOST_VARIABLES", 20)
    posterior = chain_by_statements(np.zeros(30))
    assert "30 finite variables are too many to eliminate one by one (20 at most)" in posterior.explain()


def test_mode_with_continuous_latents_beside_finite_ones():
    m = bk.Model()
    a, b = m.latent("a", bk.Bernoulli(0.5)), m.latent("b", bk.Bernoulli(0.5))
    m.observed("y", bk.Bernoulli(0.1 + 0.4 * a + 0.4 * b))
    p = m.latent("p", bk.Beta(2, 2))
    m.observed("x", bk.Binomial(10, p))
    mode = m.condition({"y": 1, "x": 7}).mode()
    assert (int(mode.values["a"]), int(mode.values["b"])) == (1, 1)
    assert float(mode.values["p"]) == pytest.approx(8 / 12, abs=1e-6)
    expected = np.log(0.25 * 0.9) + stats.beta.logpdf(8 / 12, 2, 2) + stats.binom.logpmf(7, 10, 8 / 12)
    assert mode.log_density == pytest.approx(expected, abs=1e-9)
    assert list(mode.values) == ["a", "b", "p"] and mode.covariance.shape == (1, 1)
    logit = m.condition({"y": 1, "x": 7}).mode(scale="unconstrained")
    assert float(logit.values["p"]) == pytest.approx(9 / 14, abs=1e-6)
    there = stats.beta.logpdf(9 / 14, 2, 2) + stats.binom.logpmf(7, 10, 9 / 14) + np.log(9 / 14 * 5 / 14)
    assert logit.log_density == pytest.approx(np.log(0.25 * 0.9) + there, abs=1e-9)


def test_mode_of_finite_latents_alone():
    m = bk.Model(coords={"i": 3})
    z = m.latent("z", bk.Categorical([0.2, 0.5, 0.3]), dims="i")
    m.observed("y", bk.Normal(z, 1), dims="i")
    posterior = m.condition({"y": [-3.0, 1.2, 9.0]})
    for scale in ("natural", "unconstrained"):
        mode = posterior.mode(scale)
        assert list(mode.values["z"].values) == [0, 1, 2] and mode.covariance is None
        each = stats.norm.logpdf([-3, 1.2, 9], [0, 1, 2]) + np.log([0.2, 0.5, 0.3])
        assert mode.log_density == pytest.approx(each.sum(), abs=1e-12)


# ---- known parents with unknown tables ----------------------------------------------------------------------------
def bde_score(data, sizes, parents):
    """Heckerman, Geiger and Chickering (1995), equation 28: the log score of a network, all variables observed."""
    score = 0.0
    for name, k in sizes.items():
        above = (*parents[name], name)
        share = 1 / np.prod([sizes[p] for p in above])
        counts = np.zeros([sizes[v] for v in above])
        np.add.at(counts, tuple(data[v] for v in above), 1)
        score += (gammaln(k * share) - gammaln(k * share + counts.sum(axis=-1))).sum()
        score += (gammaln(share + counts) - gammaln(share)).sum()
    return score


def test_unknown_tables_with_dirichlet_rows():
    """All observed, the score in closed form; a few entries missing, summed over; many missing, swept."""
    rng = np.random.default_rng(9)
    sizes, parents, n = {"a": 3, "b": 2, "c": 4}, {"a": [], "b": ["a"], "c": ["a", "b"]}, 200
    data = {name: rng.integers(0, k, n) for name, k in sizes.items()}
    m, nodes = bk.Model(coords={f"k{v}": k for v, k in sizes.items()}), {}
    for name, k in sizes.items():
        above = (*parents[name], name)
        share = 1 / np.prod([sizes[v] for v in above])
        table = m.latent(f"table_{name}", bk.Dirichlet(np.full(k, share)), dims=tuple(f"k{v}" for v in above))
        row = table[{f"k{p}": nodes[p] for p in parents[name]}] if parents[name] else table
        nodes[name] = m.observed(name, bk.Categorical(row), dims="row")
    posterior = m.condition(data)
    assert posterior.is_exact
    assert posterior.log_evidence() == pytest.approx(bde_score(data, sizes, parents), abs=1e-9)

    holes = data | {"b": np.where(np.arange(n) < 3, np.nan, data["b"])}
    some = m.condition(holes)
    assert "8 joint states, all summed" in some.explain()
    filled = list(itertools.product(range(2), repeat=3))
    scores = [bde_score(data | {"b": np.concatenate([f, data["b"][3:]])}, sizes, parents) for f in filled]
    assert some.log_evidence() == pytest.approx(logsumexp(scores), abs=1e-9)
    expected = np.exp(scores - logsumexp(scores)) @ np.array(filled)
    np.testing.assert_allclose(chances(some["b_missing"], 2)[..., 1], expected, atol=1e-10)

    many = m.condition(data | {"b": np.where(np.arange(n) < 40, np.nan, data["b"])}).explain()
    assert many.startswith("method: gibbs") and "joint states, and 20,000 are summed at most" in many
