"""What an expression evaluates to, against plain NumPy, by dim name and with batches of 1 and 4; what is refused."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import xarray as xr
from scipy import special

import bayeskit as bk
from bayeskit.errors import DataError, ModelError
from bayeskit.expressions import Constant, Expression, Variable, aligner, as_expression
from bayeskit.expressions.nodes import where
from bayeskit.expressions.structure import Index, Rename, Scatter

SIZES = {"g": 3, "t": 5, "obs": 7, "k": 2, "k_": 2, "m": 4}
RNG = np.random.default_rng(1)


def variable(name, *dims, integer=False, into=None):
    return Variable(name, dims, integer=integer, into=into)


def values(dims, batch):
    return RNG.standard_normal((batch, *(SIZES[d] for d in dims)))


a, b, x, s = variable("a", "g"), variable("b", "t"), variable("x", "g", "t"), variable("s")
u, w = variable("u", "t", "g"), variable("w", "obs", "k")
i = variable("i", "obs", integer=True, into="g")
z = variable("z", "obs", integer=True, into="g")
j = variable("j", "t", integer=True)
one = variable("one", integer=True)
c = variable("c", "k")
ENV = {
    "a": values(("g",), 4), "b": values(("t",), 1), "x": values(("g", "t"), 4), "s": values((), 4),
    "u": values(("t", "g"), 1), "w": values(("obs", "k"), 1), "c": values(("k",), 4),
    "i": RNG.integers(0, 3, (1, 7)), "z": RNG.integers(0, 3, (4, 7)), "j": RNG.integers(0, 3, (4, 5)),
    "one": np.array([0, 2, 1, 2]),
}  # fmt: skip


def at(name, batch):
    """The value of a variable in one batch."""
    return ENV[name][batch if len(ENV[name]) > 1 else 0]


def check(expression, dims, plain):
    """Compare with `plain(values of one batch)`, batch by batch."""
    assert expression.dims == dims
    got = expression.evaluate(ENV)
    assert got.shape[0] in (1, 4)
    for batch in range(4):
        here = {name: at(name, batch) for name in ENV}
        np.testing.assert_allclose(got[batch if len(got) > 1 else 0], plain(**here), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("expression", "dims", "plain"),
    [
        (a + b, ("g", "t"), lambda a, b, **_: a[:, None] + b),
        (b + a, ("t", "g"), lambda a, b, **_: b[:, None] + a),
        (x + u, ("g", "t"), lambda x, u, **_: x + u.T),
        (u * x - s, ("t", "g"), lambda x, u, s, **_: u * x.T - s),
        (2 - a / 3, ("g",), lambda a, **_: 2 - a / 3),
        (1 / (1 + a**2), ("g",), lambda a, **_: 1 / (1 + a**2)),
        (2**a, ("g",), lambda a, **_: 2**a),
        (abs(a) ** 0.5, ("g",), lambda a, **_: np.abs(a) ** 0.5),
        (-a + +a, ("g",), lambda a, **_: 0 * a),
        (np.exp(a) * np.log1p(abs(s)), ("g",), lambda a, s, **_: np.exp(a) * np.log1p(abs(s))),
        (special.expit(a), ("g",), lambda a, **_: special.expit(a)),
        (special.ndtr(a + b), ("g", "t"), lambda a, b, **_: special.ndtr(a[:, None] + b)),
        (np.where(b > 0, x, s), ("t", "g"), lambda b, x, s, **_: np.where(b[:, None] > 0, x.T, s)),
        (np.maximum(a, 0) - np.minimum(a, s), ("g",), lambda a, s, **_: np.maximum(a, 0) - np.minimum(a, s)),
        ((a > 0) + (a > -1), ("g",), lambda a, **_: (a > 0).astype(int) + (a > -1)),
        (-(a > 0), ("g",), lambda a, **_: -(a > 0).astype(int)),
        ((a > 0) - (s > 0), ("g",), lambda a, s, **_: (a > 0).astype(int) - int(s > 0)),
        ((a > 0) & (b <= 0) | ~(s == 1), ("g", "t"), lambda a, b, **_: np.ones((3, 5))),
        ((a >= 0) != (a < 0), ("g",), lambda a, **_: np.ones(3)),
        (z % 2 + z // 2, ("obs",), lambda z, **_: z % 2 + z // 2),
        (7 // (1 + z) + 7 % (1 + z), ("obs",), lambda z, **_: 7 // (1 + z) + 7 % (1 + z)),
        ((1 + z) ** -1, ("obs",), lambda z, **_: 1 / (1.0 + z)),
        ((1 + z) ** (-z), ("obs",), lambda z, **_: (1.0 + z) ** (-1.0 * z)),
        (np.reciprocal(1 + z), ("obs",), lambda z, **_: 1 / (1.0 + z)),
        ((z + 10**7) ** 4, ("obs",), lambda z, **_: (z + 1e7) ** 4),
        (x.sum("g"), ("t",), lambda x, **_: x.sum(0)),
        (x.mean("t"), ("g",), lambda x, **_: x.mean(1)),
        ((x > 0).sum("g"), ("t",), lambda x, **_: (x > 0).sum(0)),
        (x.cumsum("g"), ("g", "t"), lambda x, **_: x.cumsum(0)),
        ((b > 0).cumsum("t"), ("t",), lambda b, **_: (b > 0).cumsum()),
        (w @ c, ("obs",), lambda w, c, **_: w @ c),
        (c @ w, ("obs",), lambda w, c, **_: w @ c),
        (x @ a, ("t",), lambda x, a, **_: x.T @ a),
        (x @ b, ("g",), lambda x, b, **_: x @ b),
        (a @ a, (), lambda a, **_: a @ a),
        ((w > 0) @ (c > 0), ("obs",), lambda w, c, **_: (w > 0).astype(int) @ (c > 0)),
        (a[i], ("obs",), lambda a, i, **_: a[i]),
        (a[z], ("obs",), lambda a, z, **_: a[z]),
        (a[one], (), lambda a, one, **_: a[one]),
        (a[2], (), lambda a, **_: a[2]),
        (a[{"g": np.int64(1)}], (), lambda a, **_: a[1]),
        (x[i], ("obs", "t"), lambda x, i, **_: x[i]),
        (x[z], ("obs", "t"), lambda x, z, **_: x[z]),
        (u[z], ("t", "obs"), lambda u, z, **_: u[:, z]),
        (x[{"g": j}], ("t",), lambda x, j, **_: x[j, np.arange(5)]),
        (u[{"g": j}], ("t",), lambda u, j, **_: u[np.arange(5), j]),
        (x[{"g": z, "t": i}], ("obs",), lambda x, z, i, **_: x[z, i]),
        (x[{"g": i, "t": j}], ("obs", "t"), lambda x, i, j, **_: x[i[:, None], j]),
        (x[{"g": one}], ("t",), lambda x, one, **_: x[one]),
        (a[{"g": 2 - np.minimum(z, 2)}], ("obs",), lambda a, z, **_: a[2 - z]),
        (
            x[{"g": np.floor(np.minimum(abs(b), 2))}],
            ("t",),
            lambda x, b, **_: x[np.minimum(abs(b), 2).astype(int), range(5)],
        ),
        (Index(a, {"g": Constant([2, 0, 1], ("g",))}), ("g",), lambda a, **_: a[[2, 0, 1]]),
        (bk.stack([s, 1.5, s * 2], dim="m"), ("m",), lambda s, **_: np.array([s, 1.5, 2 * s])),
        (bk.stack([a, s], dim="m"), ("g", "m"), lambda a, s, **_: np.stack([a, np.full(3, s)], -1)),
        (bk.stack([x, u], dim="m"), ("g", "t", "m"), lambda x, u, **_: np.stack([x, u.T], -1)),
        (bk.concat([0, a], dim="m"), ("m",), lambda a, **_: np.concatenate([[0], a])),
        (bk.concat([x, b, s], dim="m"), ("g", "m"), lambda x, b, s, **_: np.c_[x, np.tile(b, (3, 1)), np.full(3, s)]),
        (bk.concat([-np.inf, a], dim="m"), ("m",), lambda a, **_: np.concatenate([[-np.inf], a])),
        (bk.concat([0, a], dim="m")[{"m": i + 1}], ("obs",), lambda a, i, **_: a[i]),
        (Rename(x, {"g": "h"}), ("h", "t"), lambda x, **_: x),
    ],
    ids=lambda v: str(v) if isinstance(v, Expression) else None,
)
def test_values_by_name_and_batch(expression, dims, plain):
    check(expression, dims, plain)


def test_labelled_arrays_keep_their_dims():
    known = xr.DataArray(np.arange(15.0).reshape(5, 3), dims=("t", "g"), coords={"g": ["p", "q", "r"]})
    check(x * known, ("g", "t"), lambda x, **_: x * known.values.T)
    check(np.multiply(known, x), ("t", "g"), lambda x, **_: x.T * known.values)
    assert as_expression(known).labels["g"].tolist() == ["p", "q", "r"]


def test_an_observation_completed_by_a_latent():
    unknown = Variable("y_missing", ("cell",))
    known = np.arange(6.0).reshape(2, 3)
    scatter = Scatter("y", known, ("k", "g"), np.array([1, 5]), unknown)
    filling = RNG.standard_normal((4, 2))
    got = scatter.evaluate({"y_missing": filling})
    wanted = np.repeat(known[None], 4, axis=0)
    wanted[:, 0, 1], wanted[:, 1, 2] = filling[:, 0], filling[:, 1]
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(known, np.arange(6.0).reshape(2, 3))  # what is known is not written to
    moved = scatter.substitute({"y_missing": Variable("other", ("cell",))})
    np.testing.assert_array_equal(moved.evaluate({"other": filling}), wanted)


def test_an_array_is_laid_along_dims_that_it_has():
    with pytest.raises(ModelError, match=r"The dims \['t'\] have no place in \('g',\)"):
        aligner(("g", "t"), ("g",))


def test_long_chains_of_operations():
    """A random walk written as a loop of 150 steps."""
    total = s
    for step in range(150):
        total = total * 0.5 + a[step % 3]
    assert total.variables == {"s", "a"}
    assert np.isfinite(total.evaluate(ENV)).all()
    assert str(total).count("a[") == 150


@pytest.mark.parametrize("batch", [1, 4])
def test_functions_of_matrices(batch):
    root = RNG.standard_normal((batch, 3, 2, 4))
    matrices = root @ root.swapaxes(-1, -2)
    env = {"S": matrices}
    matrix = Variable("S", ("g", "k", "k_"))
    assert bk.det(matrix).dims == ("g",)
    np.testing.assert_allclose(bk.det(matrix).evaluate(env), np.linalg.det(matrices))
    np.testing.assert_allclose(
        bk.inverse(matrix).evaluate(env) @ matrices, np.broadcast_to(np.eye(2), matrices.shape), atol=1e-9
    )
    sd = np.sqrt(np.diagonal(matrices, axis1=-2, axis2=-1))
    wanted = matrices / sd[..., None] / sd[..., None, :]
    np.testing.assert_allclose(bk.correlation(matrix * 4).evaluate(env), wanted)


def test_substitution_rebuilds_every_node():
    """Replacing every variable by a renamed one gives the same values."""
    matrix = Variable("S", ("k", "k_"))
    nodes = [
        a + b * x, np.where(a > 0, a, b), x[z], x[{"g": j}], x.sum("g"), x.mean("t"), w @ c, x.cumsum("t"),
        bk.stack([a, s], dim="m"), bk.concat([0, a], dim="m"), bk.inverse(matrix), Rename(a, {"g": "h"}),
    ]  # fmt: skip
    env = ENV | {"S": np.eye(2)[None] * 3}
    for node in nodes:
        names = {
            n: Variable(n + "_new", v.dims, integer=v.integer) for n, v in VARIABLES.items() if n in node.variables
        }
        moved = node.substitute(names)
        assert moved.variables == {n + "_new" for n in node.variables}
        assert moved.dims == node.dims
        np.testing.assert_array_equal(moved.evaluate({n + "_new": v for n, v in env.items()}), node.evaluate(env))
        assert node.substitute({"unrelated": a}) is node


VARIABLES = {v.name: v for v in (a, b, x, s, u, w, i, z, j, one, c, Variable("S", ("k", "k_")))}


@pytest.mark.parametrize("pick", [np.array([[0, 3]]), np.array([[0, 1], [-1, 2]])])
def test_an_index_outside_its_table_never_wraps(pick):
    index = Variable("pick", ("m",), integer=True)
    env = ENV | {"a": np.zeros((len(pick), 3)), "pick": np.repeat(pick, 2, axis=0) if len(pick) == 1 else pick}
    with pytest.raises(DataError, match=r"The index 'pick' of 'a' must lie in 0\.\.2 along 'g'. Got (3|-1)\."):
        a[{"g": index}].evaluate(env)


# ---- what is refused when it is written -------------------------------------------------------------------------
OTHER = bk.Model().latent("elsewhere", bk.Normal(0, 1))
HERE = bk.Model().latent("here", bk.Normal(0, 1))
REFUSED = {
    "np.sort": lambda: np.sort(a),
    "np.sum": lambda: np.sum(a),
    "np.clip": lambda: np.clip(a, 0, 1),
    "np.linalg.inv": lambda: np.linalg.inv(x),
    "np.linalg.norm": lambda: np.linalg.norm(a),
    "np.concatenate": lambda: np.concatenate([a, a]),
    "np.add.reduce": lambda: np.add.reduce(a),
    "np.exp with out=": lambda: np.exp(a, out=np.zeros(3)),
    "np.exp with where=": lambda: np.exp(a, where=True),
    "np.multiply.outer": lambda: np.multiply.outer(a, b),
    "must have named dims  ": lambda: [1.0, 2.0, 3.0] @ a,
    "'matmul' cannot": lambda: np.ones((2, 3)) @ a,
    "'modf' cannot": lambda: np.modf(a),
    "'a' has no value while the model is written, so it cannot be used as a float": lambda: math.exp(a),
    "as an int": lambda: int(a),
    "as a condition": lambda: 1 if a > 0 else 0,
    "as a condition ": lambda: 0 < a < 1,
    "in a loop": lambda: list(a),
    "with len": lambda: len(a),
    "as an array": lambda: np.asarray(a),
    "as an array ": lambda: np.array([a, s]),
    "as a float ": lambda: NormalDist().cdf(s),
    "shape \\(3,\\) in an expression must have named dims": lambda: a * np.ones(3),
    "must have named dims": lambda: a * [1, 2, 3],
    "'text' cannot stand in an expression": lambda: a + "text",
    "None cannot stand": lambda: a * None,
    "1j cannot stand": lambda: a * 1j,
    "cannot stand in": lambda: a * bk.Normal(0, 1),
    "Got NaN": lambda: a + np.nan,
    "Got 'elsewhere' and 'here', of different models": lambda: HERE + OTHER,
    "different models": lambda: bk.stack([HERE, OTHER], dim="m"),
    "'a' must be summed over one of its dims, \\('g',\\). Got 't'": lambda: a.sum("t"),
    "averaged over one of its dims, of which it has none. Got 't'": lambda: s.mean("t"),
    "Got 0": lambda: a.cumsum(0),
    "must be indexed by integers along 'g'. Got 's'": lambda: a[s],
    "must be indexed by an integer variable. Got slice\\(0, 2": lambda: a[0:2],
    "the label 'p': the labels of 'g' are not known": lambda: a["p"],
    "Got 1, a position": lambda: x[1],
    "indexed along one of its dims": lambda: a[{"t": z}],
    "exactly one dim that fits the index 'z', which points into 'g'. Got dims \\('t',\\)": lambda: b[z],
    "exactly one dim that fits the index 'one'. Got dims \\('g', 't'\\)": lambda: x[one],
    "'w' @ 'x' needs exactly one shared dim. Got none": lambda: w @ x,
    "needs exactly one shared dim. Got \\['g', 't'\\]": lambda: x @ u,
    "bk.stack must get a dim that its pieces lack. Got 'g'": lambda: bk.stack([a, s], dim="g"),
    "bk.stack must get a list of quantities": lambda: bk.stack(a, dim="m"),
    "bk.stack must get the name of a dim. Got 0": lambda: bk.stack([a], dim=0),
    "bk.concat must get a list of quantities. Got \\[\\]": lambda: bk.concat([], dim="m"),
    "bk.concat must get a dim other than those of its pieces": lambda: bk.concat([0, a], dim="g"),
    "bk.inverse must get a matrix over dims \\(d, d_\\). Got 'x'": lambda: bk.inverse(x),
    "bk.det must get a matrix": lambda: bk.det(np.eye(2)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_when_written(message):
    with pytest.raises(ModelError, match=message.strip()):
        REFUSED[message]()


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_are_sentences_with_advice(message):
    with pytest.raises(ModelError) as caught:
        REFUSED[message]()
    text = str(caught.value)
    assert text.endswith(".")
    assert text.count(". ") >= 1, text


def test_a_condition_must_be_complete():
    with pytest.raises(ModelError, match=r"np\.where cannot be used"):
        np.where(a > 0)
    assert where(a > 0, 1, 0).integer
