"""Statements of a model: what they return, how they print, and what is refused when it is written."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit.errors import ModelError, ParameterError
from bayeskit.expressions import Expression, Variable


def test_handles():
    m = bk.Model(coords={"arm": ["A", "B"]})
    n = m.data("n", dims="arm")
    g = m.index("g", dims="obs")
    p = m.latent("p", bk.Beta(1, 1), dims=["arm"])
    y = m.observed("y", bk.Binomial(n, p), dims=("arm",))
    best = m.derived("best", p * 100)
    assert all(isinstance(v, Variable) and v.owner is m for v in (n, g, p, y))
    assert isinstance(best, Expression)
    assert (n.dims, g.dims, g.into, p.dims, y.dims) == (("arm",), ("obs",), "g", ("arm",), ("arm",))
    assert (p.integer, y.integer, g.integer) == (False, True, True)
    assert m.factor("tilt", -p) is None
    assert m.require(p > 0.1) is None


def test_text_of_a_model():
    m = bk.Model(coords={"k": 3})
    x = m.data("x", dims="obs")
    g = m.index("g", dims="obs")
    mu = m.latent("mu", bk.Normal(0, 5))
    a = m.latent("a", bk.Normal(mu, tau=4), dims="g")
    p = m.latent("p", bk.Dirichlet([1, 1, 1]), dims="k")
    z = m.latent("z", bk.Categorical(p), dims="obs")
    m.observed("y", bk.Normal(a[g] + x * p[z], 1), dims="obs")
    m.derived("total", a.sum("g"))
    m.factor("tilt", -(mu**2))
    m.require(mu > 0)
    assert str(m) == repr(m)
    assert str(m).splitlines() == [
        "mu ~ Normal(0, 5)",
        "a[g] ~ Normal(mu, tau=4)",
        "p[k] ~ Dirichlet([1, 1, 1])",
        "z[obs] ~ Categorical(p)",
        "y[obs] ~ Normal(a[g] + x * p[z], 1)",
        'total = a.sum("g")',
        "tilt: log density += -mu**2",
        "require mu > 0",
    ]
    assert str(bk.Model()) == "an empty model"


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (3, [0, 1, 2]),
        (np.int64(2), [0, 1]),
        (["a", "b"], ["a", "b"]),
        (("a", 1), ["a", 1]),
        (range(2, 4), [2, 3]),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (xr.DataArray(["u", "v"], dims="g"), ["u", "v"]),
        ([False, True], [False, True]),
    ],
    ids=str,
)
def test_coords(labels, wanted):
    assert bk.Model(coords={"g": labels}).coords["g"].tolist() == wanted


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "must be a list of one or more, or a size. Got []"),
        (0, "must be a list of one or more, or a size. Got 0"),
        ("abc", "must be a list of one or more, or a size. Got 'abc'"),
        (None, "Got None"),
        (np.eye(2), "must be a list of one or more"),
        (["a", "a"], "must be known and unique. Got ['a', 'a']"),
        ([1.0, np.nan], "must be known and unique"),
        (["a", None], "must be known and unique"),
    ],
    ids=str,
)
def test_coords_refused(labels, message):
    with pytest.raises(ModelError) as caught:
        bk.Model(coords={"g": labels})
    assert str(caught.value).startswith("The labels of the dim 'g' ")
    assert message in str(caught.value)


# ---- dims -------------------------------------------------------------------------------------------------------
def test_matrix_dims_may_be_left_unsaid():
    m = bk.Model()
    assert m.latent("S", bk.Wishart(3, np.eye(2)), dims="k").dims == ("k", "k_")
    assert m.latent("T", bk.InverseWishart(3, np.eye(2)), dims=("k", "k_")).dims == ("k", "k_")
    assert m.latent("U", bk.Wishart(3, np.eye(2)), dims=("g", "k")).dims == ("g", "k", "k_")


def test_the_event_dim_is_last_and_parameters_are_laid_along_it():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1), dims="k")
    S = m.latent("S", bk.InverseWishart(4, np.eye(2)), dims="k")
    m.observed("y", bk.MvNormal(mu, S), dims=("obs", "k"))
    statement = m.random["y"]
    assert (statement.plates, statement.event) == (("obs",), ("k",))
    assert statement.layouts == (("obs", "k"), ("obs", "k", "k_"))


def test_a_categorical_points_into_the_dim_of_its_probabilities():
    m = bk.Model()
    p = m.latent("p", bk.Dirichlet(np.ones(3)), dims=("row", "k"))
    r = m.index("row", dims="obs")
    z = m.latent("z", bk.Categorical(p[r]), dims="obs")
    mean = m.latent("mean", bk.Normal(0, 1), dims="k")
    assert z.into == "k"
    assert mean[z].dims == ("obs",)
    free = m.latent("free", bk.Categorical([0.2, 0.8]))
    assert free.into is None


def test_an_index_may_be_named_like_its_dim_and_two_may_point_into_one():
    m = bk.Model()
    m.index("county", dims="obs")
    a = m.latent("a", bk.Normal(0, 1), dims="county")
    home, away = m.index("home", dims="game", into="team"), m.index("away", dims="game", into="team")
    skill = m.latent("skill", bk.Normal(0, 1), dims="team")
    assert a.dims == ("county",)
    assert (skill[home] - skill[away]).dims == ("game",)


def statement(call):
    """A model with a few names in it, for a statement that must be refused."""
    m = bk.Model(coords={"arm": 2})
    m.index("county", dims="obs")
    x = m.data("x", dims="obs")
    mu = m.latent("mu", bk.Normal(0, 1), dims="arm")
    p = m.latent("p", bk.Dirichlet(np.ones(3)), dims="k")
    return lambda: call(m, x, mu, p)


REFUSED = [
    (lambda m, x, mu, p: m.latent("mu", bk.Normal(0, 1)), "must be new. Got 'mu', which was declared before"),
    (lambda m, x, mu, p: m.data("mu"), "must be new. Got 'mu'"),
    (lambda m, x, mu, p: m.data("2x"), "must be an identifier such as 'theta_1'. Got '2x'"),
    (lambda m, x, mu, p: m.data(3), "Got 3"),
    (lambda m, x, mu, p: m.latent("draw", bk.Normal(0, 1)), "must not be one that ArviZ reserves. Got 'draw'"),
    (lambda m, x, mu, p: m.data("w", dims="chain"), "must not bear names that ArviZ reserves. Got 'chain'"),
    (lambda m, x, mu, p: m.data("arm"), "must not be that of a dim. Got 'arm', which is both"),
    (lambda m, x, mu, p: m.data("obs"), "must not be that of a dim. Got 'obs'"),
    (lambda m, x, mu, p: m.index("k", dims="obs", into="county"), "must not be that of a dim. Got 'k'"),
    (lambda m, x, mu, p: m.data("w", dims="mu"), "The dims of 'w' must not bear the names of variables. Got 'mu'"),
    (lambda m, x, mu, p: m.latent("w", bk.Normal(0, 1), dims="w"), "Got 'w', which is both"),
    (lambda m, x, mu, p: m.index("g", dims="obs", into="mu"), "must not bear the names of variables. Got 'mu'"),
    (lambda m, x, mu, p: m.derived("w", bk.stack([1, 2], dim="mu")), "must not bear the names of variables. Got 'mu'"),
    (
        lambda m, x, mu, p: m.latent("w", bk.Categorical(bk.stack([0.5, 0.5], dim="mu"))),
        "must not bear the names of variables. Got 'mu'",
    ),
    (lambda m, x, mu, p: m.index("g", dims="g"), "must point into another dim than its own. Got into='g'"),
    (lambda m, x, mu, p: m.index("g", dims="obs", into="obs"), "must point into another dim than its own"),
    (lambda m, x, mu, p: m.index("g", dims="obs", into=3), "must point into a dim. Got into=3"),
    (lambda m, x, mu, p: m.data("w", dims=("a", "a")), "must differ. Got ('a', 'a'). A matrix over 'd'"),
    (lambda m, x, mu, p: m.data("w", dims=3), "The dims of 'w' must be named. Got 3"),
    (lambda m, x, mu, p: m.data("w", dims=("a", 3)), "must be named. Got ('a', 3)"),
    (lambda m, x, mu, p: m.latent("w", 3), "m.latent('w', ...) must get a distribution. Got 3"),
    (lambda m, x, mu, p: m.observed("w", mu + 1), "m.observed('w', ...) must get a distribution. Got mu + 1"),
    (
        lambda m, x, mu, p: m.observed("y", bk.Normal(mu, 1)),
        "must have the dim 'arm' of its parameter mu = mu. Got dims none",
    ),
    (lambda m, x, mu, p: m.observed("y", bk.Normal(mu, 1)), "Write dims='arm'."),
    (lambda m, x, mu, p: m.observed("y", bk.Normal(x, abs(mu)), dims="obs"), "Write dims=('obs', 'arm')."),
    (lambda m, x, mu, p: m.latent("w", bk.Dirichlet([1, 1])), "must have a dim for its vector values. Got dims none"),
    (lambda m, x, mu, p: m.latent("w", bk.Wishart(3, np.eye(2))), "must have a dim for its matrix values"),
    (lambda m, x, mu, p: m.observed("w", bk.Categorical(mu[{"arm": 0}])), "exactly one dim beyond its own dims none"),
    (lambda m, x, mu, p: m.observed("w", bk.Categorical(p + mu)), "exactly one dim beyond its own dims none"),
    (lambda m, x, mu, p: m.latent("w", bk.Normal(OTHER, 1)), "its own model. Got 'elsewhere' of another one"),
    (lambda m, x, mu, p: m.derived("w", OTHER + 1), "its own model. Got 'elsewhere'"),
    (lambda m, x, mu, p: m.factor("w", OTHER), "its own model. Got 'elsewhere'"),
    (lambda m, x, mu, p: m.require(OTHER > 0), "its own model. Got 'elsewhere'"),
    (lambda m, x, mu, p: mu + OTHER, "of different models"),
]
OTHER = bk.Model().latent("elsewhere", bk.Normal(0, 1))


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[r[1] for r in REFUSED])
def test_refused_when_written(call, message):
    with pytest.raises(ModelError) as caught:
        statement(call)()
    text = str(caught.value)
    assert message in text
    assert text.endswith(".") and ". " in text, "one sentence and one line of advice"


def test_bare_arrays_are_refused_as_parameters():
    m = bk.Model()
    with pytest.raises(ParameterError, match=r"m\.data"):
        m.latent("w", bk.Normal([1, 2, 3], 1), dims="g")


def test_a_refused_statement_leaves_the_model_as_it_was():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1), dims="arm")
    before = str(m), list(m.names()), m.all_dims()
    for call in (lambda: m.observed("y", bk.Normal(mu, 1)), lambda: m.data("mu"), lambda: m.index("g", dims="g")):
        with pytest.raises(ModelError):
            call()
    assert (str(m), list(m.names()), m.all_dims()) == before


def test_data_do_not_change_a_model():
    m = bk.Model()
    mu = m.latent("mu", bk.Normal(0, 1))
    m.observed("y", bk.Normal(mu, 1), dims="obs")
    before = str(m), dict(m.coords), m.all_dims()
    m.condition({"y": [1.0, 2.0]})
    assert (str(m), dict(m.coords), m.all_dims()) == before
