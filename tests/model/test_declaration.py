"""Models as dictionaries: what is read is the model that was written, and what cannot be read is told."""

import copy
import datetime
import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import bayeskit as bk
from bayeskit.errors import BayeskitError, DataError, ModelError, ParameterError, RefusedError
from bayeskit.expressions import Constant, Variable
from bayeskit.expressions.nodes import Apply
from bayeskit.expressions.structure import Scatter, rename
from bayeskit.model.declaration import array_from_json, array_to_json, checked_dict, scalar_from_json, scalar_to_json
from bayeskit.model.declaration.distributions import expressions_in, read_distribution, write_distribution
from bayeskit.model.declaration.expressions import _FIELDS, ExpressionReader, ExpressionWriter
from bayeskit.model.declaration.models import VERSION
from tests.distributions import test_discrete, test_monotone, test_multivariate, test_univariate
from tests.expressions.random_expressions import ALL, environment, random_known, random_linear
from tests.posterior.saved_models import MODELS


def through_json(written):
    return json.loads(json.dumps(written, allow_nan=False))


def again(*expressions):
    """Expressions written and read, and what was written when they are written again."""
    writer = ExpressionWriter(expressions)
    shared, written = through_json([writer.shared, [writer.write(e) for e in expressions]])
    reader = ExpressionReader(ALL.__getitem__, shared)
    found = [reader.read(w) for w in written]
    twice = ExpressionWriter(found)
    assert [twice.shared, [twice.write(e) for e in found]] == [shared, written]
    return found


# ---- expressions ----------------------------------------------------------------------------------------------------
def random_expression(rng, depth):
    """Any expression: a linear one, under functions that are not."""
    one = random_linear(rng, depth)
    match rng.integers(9):
        case 0:
            return np.exp(-np.abs(one)) ** random_known(rng)
        case 1:
            return special.expit(one) * special.gammaln(one**2 + 1)
        case 2:
            return (one > 0) & ~(one < random_known(rng)) | (one == 3)
        case 3:
            return np.minimum(one, np.float32(0.25)) // 0.3 + np.maximum(1, one % 2)
        case 4 if "g" in one.dims:
            return rename(one, "g", "h") + xr.DataArray(np.arange(3) == 1, dims="g")
        case 5 if "obs" in one.dims:
            return one * xr.DataArray(rng.normal(size=6), dims="obs", coords={"obs": list("abcdef")})
        case 6:
            return one * one + one
        case 7:
            return special.log1p(one * 0 + 3) + np.log1p(one * 0 + 3)  # two functions of one name
        case _:
            return one


@given(st.integers(0, 2**32), st.integers(0, 6))
def test_random_expressions_come_back(seed, depth):
    rng = np.random.default_rng(seed)
    written = [random_expression(rng, depth) for _ in range(2)]
    env = environment(rng)
    for one, other in zip(written, again(*written), strict=True):
        assert (str(one), one.dims, one.integer, one.variables) == (
            str(other),
            other.dims,
            other.integer,
            other.variables,
        )
        with np.errstate(all="ignore"):
            a, b = one.evaluate(env), other.evaluate(env)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_every_operation_can_be_written():
    matrix = ALL["X"].sum("obs") * 0 + bk.Model().latent("s", bk.Wishart(3, np.eye(2)), dims="d")
    m = MODELS["means_and_covariance"]()[0].model
    kinds, found = set(), [matrix, *(d.expression for d in m.derivations.values())]
    found += [random_expression(np.random.default_rng(i), 5) for i in range(60)]
    while found:
        node = found.pop()
        kinds.add(type(node))
        found += node.children()
    assert kinds == {Variable, Constant, Apply, *_FIELDS}


def test_an_operation_that_holds_data_is_refused():
    one = Scatter("y", np.zeros(2), ("obs",), np.array([1]), ALL["d"]) + 1
    with pytest.raises(RefusedError, match="The operation Scatter in 'y' must be one that can be saved"):
        ExpressionWriter([one])


def test_what_is_shared_stays_shared():
    x = ALL["x"]
    inner = np.exp(x)
    (found,) = again(inner * inner + inner)
    product, last = found.args
    assert product.args[0] is product.args[1] is last
    for _ in range(60):  # two to the sixtieth terms, were they written out
        inner = inner + inner
    (found,) = again(inner)
    for _ in range(60):
        assert found.args[0] is found.args[1]
        found = found.args[0]
    assert str(found) == "exp(x)"


def test_long_sums_come_back():
    total = ALL["x"]
    for _ in range(2000):
        total = total + 1.5
    (found,) = again(total)
    count = 0
    while found.children():
        found, one = found.children()
        count += one.value == 1.5
    assert count == 2000


def test_numbers_keep_their_type():
    x = ALL["x"]
    numbers = [2, 2.0, 0.1 + 0.2, -0.0, np.inf, np.float32(0.1), np.int8(3), 2**62 + 1, True]
    for number, node in zip(numbers, again(*[x * number for number in numbers]), strict=True):
        value, own = node.args[1].value, (x * number).args[1].value
        assert (value.dtype, value.tobytes()) == (own.dtype, own.tobytes())


# ---- distributions ------------------------------------------------------------------------------------------------
LABELLED = xr.DataArray([[1.0, 2.0], [0.5, 3.0]], dims=["g", "t"], coords={"g": ["a", "b"]}, name="rate")
FAMILIES = [
    *(row[0] for row in test_discrete.UNIVARIATE.values()),
    *(row[0] for row in test_discrete.VECTORS.values()),
    *(row[0] for row in test_multivariate.VECTORS.values()),
    *(row[0] for row in test_multivariate.MATRICES.values()),
    *(row.family for row in test_univariate.ROWS),
    *(case.made for case in test_monotone.CASES),
    bk.Categorical([0.2, 0.8]),
    bk.Categorical(logit=LABELLED),
    bk.Flat(),
    bk.Flat(lower=0),
    bk.Ordered(bk.Normal(0, 3)),
    bk.Ordered(bk.Gamma(2, scale=LABELLED), size=3),
    bk.Normal(LABELLED, tau=4),
    bk.Truncated(bk.Uniform(0, 9), lower=-np.inf, upper=LABELLED),
    bk.Truncated(bk.Poisson(ALL["x"]), lower=1),
    bk.Normal(ALL["x"] + ALL["v"], var=np.exp(ALL["c"])),
    bk.Normal(np.float32(0.1), True),
]  # fmt: skip


@pytest.mark.parametrize("distribution", [d for d in FAMILIES if type(d).__name__ in bk.__all__], ids=str)
def test_distributions_come_back(distribution):
    expressions = list(expressions_in(distribution))
    writer = ExpressionWriter(expressions)
    written, shared = through_json([write_distribution(distribution, writer), writer.shared])
    found = read_distribution(written, ExpressionReader(ALL.__getitem__, shared))
    assert (type(found), str(found)) == (type(distribution), str(distribution))
    assert write_distribution(found, ExpressionWriter(expressions_in(found))) == written
    assert found == distribution or expressions


# ---- values -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value",
    [None, True, 0, 10**30, -0.0, 0.1, np.inf, -np.inf, "", "ü\ud800\0", datetime.date(1, 1, 1), datetime.time(1, 2),
     datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)],
    ids=repr,
)  # fmt: skip
def test_values_come_back(value):
    found = scalar_from_json(through_json(scalar_to_json(value)))
    assert (type(found), repr(found)) == (type(value), repr(value))
    array = np.empty((2, 1), dtype=object)
    array[:] = value
    found = array_from_json(through_json(array_to_json(array)))
    assert (found.dtype, repr(found.tolist())) == (array.dtype, repr(array.tolist()))


@pytest.mark.parametrize(
    "array",
    [np.array([[1.5, np.nan], [-np.inf, -0.0]]), np.float32([[0.1]]), np.int8([1, 2]), np.array([2**64 - 1]),
     np.arange(4), np.arange(4, dtype=np.int32), np.array([[True], [False]]),
     np.array(["a", "bc"], dtype="<U9"), np.zeros((2, 0)),
     np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"), np.array([[10**18 + 1]], dtype="datetime64[ns]"),
     np.array(["2024-02-29T12"], dtype="datetime64[s]"), np.array([3, -4], dtype="timedelta64[h]"), np.array(7)],
    ids=repr,
)  # fmt: skip
def test_arrays_come_back(array):
    found = array_from_json(through_json(array_to_json(array)))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("value", [1j, b"a", (1, 2), object(), {"a": 1}])
def test_other_values_are_refused(value):
    with pytest.raises(RefusedError, match="must be numbers, texts, dates"):
        scalar_to_json(value)


# ---- models -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_models_come_back(name):
    model = MODELS[name]()[0].model
    found = bk.Model.from_dict(through_json(model.to_dict()))
    assert repr(found) == repr(model)
    assert found.to_dict() == model.to_dict()
    assert [s.name for s in found.statements()] == [s.name for s in model.statements()]
    assert list(found.coords) == list(model.coords)
    for dim, labels in model.coords.items():
        assert found.coords[dim].dtype == labels.dtype
        assert found.coords[dim].tolist() == labels.tolist()
    for name, statement in model.random.items():
        other = found.random[name]
        assert (other.plates, other.event, other.layouts) == (statement.plates, statement.event, statement.layouts)
        assert (other.variable.into, other.variable.integer) == (statement.variable.into, statement.variable.integer)
        assert [str(p) for p in other.parameters] == [str(p) for p in statement.parameters]


def test_a_model_is_readable():
    m = bk.Model(coords={"arm": ["A", "B"], "week": 2})
    site = m.index("site", dims="obs")
    base = m.latent("base", bk.Normal(0, tau=4), dims="site")
    m.observed("y", bk.Normal(base[site] + 1, 2.5), dims="obs")
    m.factor("push", -(base**2).sum("site"))
    m.require(base.mean("site") > 0)
    assert m.to_dict() == {
        "version": 1,
        "coords": {"arm": {"dtype": "<U1", "values": ["A", "B"]}, "week": {"range": 2}},
        "statements": [
            {"index": "site", "dims": ["obs"], "into": "site"},
            {
                "latent": "base",
                "dims": ["site"],
                "distribution": {"family": "Normal", "parameters": {"mu": 0, "tau": 4}},
            },
            {
                "observed": "y",
                "dims": ["obs"],
                "distribution": {
                    "family": "Normal",
                    "parameters": {
                        "mu": {"op": "add", "args": [{"op": "index", "args": ["base", "site"], "dims": ["site"]}, 1]},
                        "sigma": 2.5,
                    },
                },
            },
            {
                "factor": "push",
                "expression": {
                    "op": "negative",
                    "args": [{"op": "sum", "args": [{"op": "power", "args": ["base", 2]}], "dim": "site"}],
                },
            },
            {
                "require": "require_1",
                "expression": {"op": "greater", "args": [{"op": "mean", "args": ["base"], "dim": "site"}, 0]},
            },
        ],
    }


def test_statements_keep_their_order():
    m = bk.Model()
    a = m.latent("a", bk.Normal(0, 1))
    m.derived("pair", bk.stack([a, a], dim="k"))
    m.data("k")  # refused, were it declared before that stack
    with pytest.raises(ModelError):
        m.latent("b", bk.Normal(0, 1), dims="k")
    m.data("b")
    found = bk.Model.from_dict(m.to_dict())
    assert [s.name for s in found.statements()] == ["a", "pair", "k", "b"]


# ---- what cannot be written ---------------------------------------------------------------------------------------
def test_what_would_come_back_changed_is_refused(monkeypatch):
    """A form of a family that its constructor does not make of what it was given."""

    class Form(bk.Beta):
        family = "Beta"
        __module__ = "bayeskit.distributions"

    m = bk.Model()
    m.latent("x", Form(1, 2))
    assert bk.Model.from_dict(m.to_dict()).random["x"].distribution == bk.Beta(1, 2)
    with pytest.raises(RefusedError, match=r"'x' ~ Beta\(1, 2\) cannot be saved, for it would come back changed"):
        checked_dict(m)
    m = bk.Model()
    m.latent("x", bk.Beta(1, 2))
    monkeypatch.setattr(bk.Beta, "_arguments", lambda self: ((2, 1), {}) if self.given["alpha"] == 1 else ((3, 1), {}))
    with pytest.raises(RefusedError, match="The model cannot be saved, for it would come back changed"):
        checked_dict(m)


def test_what_is_the_users_own_is_refused():
    class Mine(bk.Normal):
        pass

    class Normal(bk.Gamma):
        """Bears the name of another."""

    m = bk.Model()
    x = m.latent("x", bk.Normal(0, 1))
    for distribution in (Mine(0, 1), Normal(2, 1), bk.Truncated(Mine(0, 1), lower=0)):
        other = bk.Model()
        other.latent("y", distribution)
        with pytest.raises(RefusedError, match="one of bayeskit's public families to be saved"):
            other.to_dict()
    m.derived("z", np.frompyfunc(abs, 1, 1)(x))
    with pytest.raises(RefusedError, match=r"The function '.*' in '.*\(x\)' must be one of NumPy or of scipy.special"):
        m.to_dict()


# ---- what cannot be read ------------------------------------------------------------------------------------------
def changed(path, value):
    m = bk.Model(coords={"g": ["a"]})
    p = m.latent("p", bk.Beta(1, 1), dims="g")
    m.observed("y", bk.Bernoulli(p), dims=("obs", "g"))
    m.derived("odds", p / (1 - p))
    written = through_json(m.to_dict())
    at = written
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return written


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        (["version"], VERSION + 1, DataError, f"of format version {VERSION} or earlier. Got {VERSION + 1}"),
        (["version"], "1", DataError, "or earlier. Got '1'"),
        (["statements", 0], {"unknown": "p"}, DataError, "A statement must be one that bayeskit knows. Got 'unknown'"),
        (
            ["statements", 0, "distribution", "family"],
            "Gumbel",
            DataError,
            "a family that bayeskit knows. Got 'Gumbel'",
        ),
        (
            ["statements", 0, "distribution", "family"],
            "Domain",
            DataError,
            "a family that bayeskit knows. Got 'Domain'",
        ),
        (["statements", 0, "distribution", "family"], "annotations", DataError, "Got 'annotations'"),
        (["statements", 0, "distribution", "parameters", "alpha"], -1, ParameterError, "must be zero or positive"),
        (["statements", 0, "distribution", "parameters", "gamma"], 1, DataError, "at statement 1 .TypeError"),
        (["statements", 0, "dims"], ["p"], ModelError, "must not bear the names of variables"),
        (["statements", 2, "expression", "op"], "special.load", DataError, "one that is known. Got 'special.load'"),
        (["statements", 2, "expression", "op"], "loadtxt", DataError, "one that is known. Got 'loadtxt'"),
        (["statements", 2, "expression", "op"], "os.system", DataError, "one that is known. Got 'os.system'"),
        (["statements", 2, "expression", "op"], "matmul", DataError, "at statement 3 .KeyError: 'dim'"),
        (["statements", 2, "expression", "op"], "exp", DataError, "'exp' must have 1 arguments. Got 2"),
        (["statements", 2, "expression", "args", 0], "q", DataError, "declared before it is used. Got 'q'"),
        (["statements", 2, "expression", "args", 0], {"shared": "e1"}, DataError, "Got no 'e1'"),
        (["statements"], None, DataError, "at coords .TypeError"),
        (["coords", "g", "dtype"], "V8", DataError, "must hold numbers, texts or dates"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_by_name(path, value, error, message):
    with pytest.raises(error, match=message):
        bk.Model.from_dict(changed(path, value))


@pytest.mark.parametrize("written", [None, [], {}, "model", 3])
def test_what_is_no_model_is_refused(written):
    with pytest.raises(DataError, match="A model to be read"):
        bk.Model.from_dict(written)


WRITTEN = (
    through_json(MODELS["mixture_with_gaps"]()[0].model.to_dict()),
    through_json(MODELS["days"]()[0].model.to_dict()),
)


@given(st.data())
def test_damage_is_told_in_a_sentence(data):
    """Whatever is cut out or replaced: a model comes back, or an error of bayeskit's own."""
    whole = copy.deepcopy(data.draw(st.sampled_from(WRITTEN)))
    at = whole
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    if data.draw(st.booleans()):
        del at[key]
    else:
        at[key] = data.draw(
            st.sampled_from([None, -1, 0.5, "x", "weight", [], ["x"], {}, {"op": "sum"}, {"shared": "e1"}])
        )
    try:
        model = bk.Model.from_dict(whole)
    except BayeskitError:
        return
    assert isinstance(model, bk.Model)
