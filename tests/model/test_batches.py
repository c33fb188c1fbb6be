"""Several batches of data: dims of latents match by label, dims of data alone are the batch's own."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayeskit as bk
from bayeskit.errors import DataError
from tests.model.binding import problem_of, state_of


def rows(table, **where):
    """A batch of a long table: the rows chosen by a mask, and whatever is given besides."""
    mask = where.pop("mask")
    return {n: np.asarray(v)[mask] for n, v in table.items()} | where


def assert_same_joint(together, apart):
    """Batches say what one batch with all data says."""
    assert {n: latent.shape for n, latent in apart.latents.items()} == {
        n: latent.shape for n, latent in together.latents.items()
    }
    state = state_of(together)
    np.testing.assert_allclose(apart.log_joint(state), together.log_joint(state), rtol=1e-12)
    for problem in (together, apart):
        assert np.isfinite(problem.log_joint(state)).all()


def grouped(coords=None):
    m = bk.Model(coords=coords)
    g, x = m.index("g", dims="obs"), m.data("x", dims="obs")
    mu, s = m.latent("mu", bk.Normal(0, 1)), m.latent("s", bk.HalfNormal(1))
    a = m.latent("a", bk.Normal(mu, s), dims="g")
    m.observed("y", bk.Normal(a[g] + mu * x, s), dims="obs")
    m.derived("first", a[0])
    return m


RNG = np.random.default_rng(4)
TABLE = {"g": np.array(list("uvwuvwuv")), "x": np.arange(8.0), "y": RNG.normal(size=8)}


@pytest.mark.parametrize("coords", [None, {"g": ["w", "v", "u"]}])
@pytest.mark.parametrize("first", [[0, 1, 2, 3], [0, 1, 3], [0], [1, 4, 7]], ids=str)
def test_rows_are_appended_and_groups_match(coords, first):
    mask = np.isin(np.arange(8), first)
    together = problem_of(grouped(coords), TABLE)
    apart = problem_of(grouped(coords), rows(TABLE, mask=mask), rows(TABLE, mask=~mask))
    assert set(apart.coords["g"].tolist()) == set("uvw")
    state, order = state_of(together), [together.coords["g"].tolist().index(v) for v in apart.coords["g"].tolist()]
    moved = state | {"a": state["a"][:, order]}  # new labels come last
    np.testing.assert_allclose(apart.log_joint(moved), together.log_joint(state), rtol=1e-12)
    assert [f.sizes["obs"] for f in apart.factors if f.name == "y"] == [mask.sum(), (~mask).sum()]


def test_three_batches():
    parts = [np.arange(8) % 3 == k for k in range(3)]
    apart = problem_of(grouped({"g": ["u", "v", "w"]}), *(rows(TABLE, mask=p) for p in parts))
    assert_same_joint(problem_of(grouped({"g": ["u", "v", "w"]}), TABLE), apart)
    assert len(apart.observations) == 3


def arms(coords=None, data_prior=False):
    m = bk.Model(coords=coords)
    n = m.data("n", dims="arm")
    base = m.data("base", dims="arm") if data_prior else 1
    p = m.latent("p", bk.Beta(base, 2), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    return m


def labelled(values, labels):
    return xr.DataArray(values, dims="arm", coords={"arm": labels})


def counts(labels, n, y, **more):
    return {"n": labelled(n, labels), "y": labelled(y, labels)} | {k: labelled(v, labels) for k, v in more.items()}


def binomials(p, *batches):
    """Log mass of batches of (index into p, n, y)."""
    return sum(stats.binom.logpmf(y, n, p[i]) for batch in batches for i, n, y in zip(*batch, strict=True))


@pytest.mark.parametrize("labelled_first", [True, False])
def test_the_same_labels_add_up(labelled_first):
    first = counts(["A", "B"], [10, 20], [3, 4]) if labelled_first else {"n": [10, 20], "y": [3, 4]}
    problem = problem_of(arms({"arm": ["A", "B"]}), first, {"n": [5, 6], "y": [1, 2]})
    p = np.array([0.2, 0.6])
    wanted = stats.beta.logpdf(p, 1, 2).sum() + binomials(p, ([0, 1], [10, 20], [3, 4]), ([0, 1], [5, 6], [1, 2]))
    np.testing.assert_allclose(problem.log_joint({"p": p[None]}), [wanted])


@pytest.mark.parametrize("coords", [None, {"arm": ["A", "B"]}])
def test_some_labels_other_orders_and_new_ones(coords):
    problem = problem_of(
        arms(coords),
        counts(["A", "B"], [10, 20], [3, 4]),
        counts(["B"], [6], [2]),
        counts(["B", "A"], [7, 8], [1, 0]),
        counts(["C", "A"], [9, 3], [5, 1]),
    )
    assert problem.coords["arm"].tolist() == ["A", "B", "C"]
    assert problem.latents["p"].shape == (3,)
    p = np.array([0.2, 0.6, 0.4])
    wanted = stats.beta.logpdf(p, 1, 2).sum() + binomials(
        p, ([0, 1], [10, 20], [3, 4]), ([1], [6], [2]), ([1, 0], [7, 8], [1, 0]), ([2, 0], [9, 3], [5, 1])
    )
    np.testing.assert_allclose(problem.log_joint({"p": p[None]}), [wanted])
    assert [labels["arm"].tolist() for labels in problem.batch_coords] == [["A", "B"], ["B"], ["A", "B"], ["C", "A"]]


def test_columns_of_priors_are_put_together_from_the_batches():
    m = arms(data_prior=True)
    first = counts(["A", "B"], [10, 20], [3, 4], base=[1.0, 1.5])
    problem = problem_of(m, first, counts(["C", "B"], [9, 3], [5, 1], base=[2.5, 1.5]))
    p = np.array([0.2, 0.6, 0.4])
    wanted = stats.beta.logpdf(p, [1, 1.5, 2.5], 2).sum()
    wanted += binomials(p, ([0, 1], [10, 20], [3, 4]), ([2, 1], [9, 3], [5, 1]))
    np.testing.assert_allclose(problem.log_joint({"p": p[None]}), [wanted])
    with pytest.raises(DataError, match=r"The data 'base' must be given for every label.*Got none for arm='C'"):
        problem_of(m, first, counts(["C", "B"], [9, 3], [5, 1]))


def test_columns_over_dims_of_latents_hold_again():
    """A covariate of groups, given once, serves the rows of later batches, at whatever labels they bear."""
    m = bk.Model()
    u, n = m.data("u", dims="arm"), m.data("n", dims="arm")
    b = m.latent("b", bk.Normal(0, 1))
    e = m.latent("e", bk.Normal(0, 1), dims="arm")
    m.observed("y", bk.Poisson(np.exp(b * u + e) * n), dims="arm")
    first = counts(["A", "B", "C"], [1, 2, 3], [4, 5, 6], u=[0.1, 0.2, 0.3])
    problem = problem_of(m, first, counts(["C", "A"], [7, 8], [1, 2]))
    state = {"b": np.array([0.5]), "e": np.array([[0.1, -0.2, 0.3]])}
    rate = np.exp(0.5 * np.array([0.1, 0.2, 0.3]) + state["e"][0])
    wanted = stats.norm.logpdf([0.5, 0.1, -0.2, 0.3]).sum() + stats.poisson.logpmf([4, 5, 6], rate * [1, 2, 3]).sum()
    wanted += stats.poisson.logpmf([1, 2], rate[[2, 0]] * [7, 8]).sum()
    np.testing.assert_allclose(problem.log_joint(state), [wanted])


def test_an_index_of_groups_holds_for_new_groups():
    """Counties in countries: the second batch brings a county and a country."""
    m = bk.Model()
    country, county = m.index("country", dims="county"), m.index("county", dims="obs")
    top = m.latent("top", bk.Normal(0, 1), dims="country")
    a = m.latent("a", bk.Normal(top[country], 1), dims="county")
    m.observed("y", bk.Normal(a[county], 1), dims="obs")

    def batch(names, into, rows, y):
        return {"country": xr.DataArray(into, dims="county", coords={"county": names}), "county": rows, "y": y}

    first = batch(["p", "q"], ["X", "Y"], ["q", "p", "q"], [1.0, 2.0, 3.0])
    problem = problem_of(m, first, batch(["r", "p"], ["W", "X"], ["r", "p"], [4.0, 5.0]))
    assert problem.coords["country"].tolist() == ["X", "Y", "W"]
    assert problem.coords["county"].tolist() == ["p", "q", "r"]
    np.testing.assert_array_equal(problem.env["country"], [[0, 1, 2]])
    top, a = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0])
    wanted = stats.norm.logpdf(top).sum() + stats.norm.logpdf(a, top).sum()
    wanted += stats.norm.logpdf([1, 2, 3, 4, 5], a[[1, 0, 1, 2, 0]]).sum()
    np.testing.assert_allclose(problem.log_joint({"top": top[None], "a": a[None]}), [wanted])


def test_a_known_latent_serves_the_labels_it_was_given_for():
    first = counts(["A", "B"], [10, 20], [3, 4], p=[0.2, 0.6])
    problem = problem_of(arms(), first, counts(["B"], [6], [2]))
    assert problem.latents == {}
    wanted = binomials(np.array([0.2, 0.6]), ([0, 1], [10, 20], [3, 4]), ([1], [6], [2]))
    np.testing.assert_allclose(problem.log_joint({}), [wanted + stats.beta.logpdf([0.2, 0.6], 1, 2).sum()])
    with pytest.raises(DataError, match="'p', on which 'y' depends, must have a value for every label"):
        problem_of(arms(), first, counts(["C"], [6], [2]))


def test_scalars_hold_again_and_may_change():
    m = bk.Model()
    s = m.data("s")
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Normal(mu, s), dims="obs")
    problem = problem_of(m, {"s": 2.0, "y": [1.0, 2.0]}, {"y": [3.0]}, {"y": [4.0], "s": 5.0})
    wanted = stats.norm.logpdf(0.5) + stats.norm.logpdf([1, 2, 3, 4], 0.5, [2, 2, 2, 5]).sum()
    np.testing.assert_allclose(problem.log_joint({"mu": np.array([0.5])}), [wanted])


def test_labels_of_data_alone_are_the_batch_s_own():
    m = bk.Model(coords={"day": ["mon", "tue"]})
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Normal(mu, 1), dims="day")
    later = {"y": xr.DataArray([3.0, 4.0, 5.0], dims="day", coords={"day": ["wed", "thu", "fri"]})}
    problem = problem_of(m, {"y": [1.0, 2.0]}, later, {"y": [6.0]}, {"y": [7.0, 8.0]})
    assert [labels["day"].tolist() for labels in problem.batch_coords] == [
        ["mon", "tue"], ["wed", "thu", "fri"], [0], ["mon", "tue"],
    ]  # fmt: skip
    np.testing.assert_allclose(
        problem.log_joint({"mu": np.zeros(1)}), [stats.norm.logpdf(0) + stats.norm.logpdf(np.arange(1, 9)).sum()]
    )


def test_missing_entries_in_every_batch():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Normal(mu, 1), dims="obs")
    problem = problem_of(m, {"y": [1.0, np.nan]}, {"y": [np.nan, np.nan, 2.0]})
    assert {n: latent.shape for n, latent in problem.latents.items()} == {
        "mu": (), "y_missing": (1,), "y_missing_1": (2,),
    }  # fmt: skip
    state = {"mu": np.array([0.5]), "y_missing": np.array([[3.0]]), "y_missing_1": np.array([[4.0, 5.0]])}
    wanted = stats.norm.logpdf(0.5) + stats.norm.logpdf([1, 3, 4, 5, 2], 0.5).sum()
    np.testing.assert_allclose(problem.log_joint(state), [wanted])


def test_the_prior_first_and_data_later():
    problem = problem_of(arms({"arm": ["A", "B"]}), {}, {"n": [5, 6], "y": [1, 2]})
    p = np.array([0.2, 0.6])
    wanted = stats.beta.logpdf(p, 1, 2).sum() + binomials(p, ([0, 1], [5, 6], [1, 2]))
    np.testing.assert_allclose(problem.log_joint({"p": p[None]}), [wanted])


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ({"n": [5, 6]}, "The observed variable 'y' must have data. Got no observations."),
        ({"n": [5, 6], "y": [1, 2], "p": [0.5, 0.5]}, "must be new observations. Got a value for the latent 'p'."),
        ({"n": [5, 6, 7], "y": [1, 2, 3]}, "'n' along 'arm' must be 2, one for each label. Got 3."),
        ({"n": [5, 6], "y": [1, 7]}, "Got 7 at arm='B', where n is 6."),
        (counts(["B", "B"], [5, 6], [1, 1]), "must be unique. Got 'B' twice."),
    ],
    ids=str,
)
def test_later_batches_are_checked(later, message):
    with pytest.raises(DataError) as caught:
        problem_of(arms({"arm": ["A", "B"]}), {"n": [10, 20], "y": [3, 4]}, later)
    assert message in str(caught.value)
    assert "@" not in str(caught.value), "no inner name in a message"


def test_arrays_written_into_the_model_follow_the_labels():
    """Labelled or not, the array's entries stay with their labels in batches that bear some of them."""
    for known in (
        xr.DataArray([1.0, 2.0], dims="arm", coords={"arm": ["A", "B"]}),
        xr.DataArray([1.0, 2.0], dims="arm"),
    ):
        m = bk.Model(coords={"arm": ["A", "B"]})
        a = m.latent("a", bk.Normal(0, 1), dims="arm")
        m.observed("y", bk.Normal(a + known, 1), dims="arm")
        problem = problem_of(m, {"y": [1.0, 2.0]}, {"y": labelled([2.0], ["B"])})
        np.testing.assert_allclose(problem.log_joint({"a": np.zeros((1, 2))}), [5 * stats.norm.logpdf(0)])
        with pytest.raises(DataError, match=r"must (cover every label of 'arm'|have 3 entries)"):
            problem_of(m, {"y": [1.0, 2.0]}, {"y": labelled([2.0], ["C"])})
