"""A seeded generator of expressions that are linear in some variables, and a dense reading of linear forms."""

import numpy as np

import bayeskit as bk
from bayeskit.expressions import Expression, Variable, aligner, union_dims
from bayeskit.expressions.linear import LinearForm

SIZES = {"g": 3, "t": 4, "k": 2, "h": 3, "obs": 6, "n3": 3, "cell": 2, "two": 2, "five": 5, "nine": 9}
TARGETS = {
    "x": Variable("x", ()), "v": Variable("v", ("g",)), "b": Variable("b", ("k",)), "M": Variable("M", ("g", "t")),
}  # fmt: skip
KNOWN = {
    "c": Variable("c", ()), "d": Variable("d", ("g",)), "e": Variable("e", ("t",)), "X": Variable("X", ("obs", "k")),
    "o": Variable("o", ("obs",)),
}  # fmt: skip
INDICES = {
    "i": Variable("i", ("obs",), integer=True, into="g"), "j": Variable("j", ("t",), integer=True),
    "q": Variable("q", ("obs",), integer=True), "z": Variable("z", (), integer=True),
}  # fmt: skip
ALL = TARGETS | KNOWN | INDICES


def environment(rng, batch=4):
    env = {n: rng.standard_normal((batch, *(SIZES[d] for d in v.dims))) for n, v in TARGETS.items()}
    env |= {n: rng.standard_normal((1, *(SIZES[d] for d in v.dims))) for n, v in KNOWN.items()}
    env["i"] = rng.integers(0, 3, (1, 6))
    env["q"] = rng.integers(0, 2, (batch, 6))  # an index that varies with the batch, as a latent class does
    env["j"] = rng.integers(0, 2, (1, 4))
    env["z"] = rng.integers(0, 2, (batch,))
    return env


def random_linear(rng, depth):
    """An expression that is linear in the targets by construction."""
    if depth == 0:
        return list(TARGETS.values())[rng.integers(len(TARGETS))]
    one = random_linear(rng, depth - 1)
    match rng.integers(14):
        case 0:
            return one + random_linear(rng, depth - 1)
        case 1:
            return one - random_linear(rng, rng.integers(depth))
        case 2:
            return random_known(rng) * one
        case 3:
            return one / (1 + np.exp(random_known(rng)))
        case 4:
            return np.where(random_known(rng) > 0, one, random_linear(rng, rng.integers(depth)))
        case 5:
            return -one + random_known(rng)
        case 6 if one.dims:
            return one.sum(one.dims[rng.integers(len(one.dims))])
        case 7 if one.dims:
            return one.mean(one.dims[-1]) * random_known(rng)
        case 8 if one.dims:
            return one.cumsum(one.dims[rng.integers(len(one.dims))])
        case 9 if "g" in one.dims:
            return one[{"g": INDICES["i"]}]
        case 9 | 10 if "k" in one.dims:
            return one[{"k": INDICES[("q", "j", "z")[rng.integers(3)]]}]
        case 10 if "t" in one.dims:
            return one[{"t": INDICES["q"] + 1}]
        case 11 if "k" in one.dims and "obs" not in one.dims:
            return KNOWN["X"] @ one
        case 12 if "two" not in one.dims:
            return bk.stack([one, random_known(rng)], dim="two")
        case 13 if "five" not in one.dims and one.dims and one.dims[-1] == "g":
            return bk.concat([one, random_known(rng, dims=()), TARGETS["x"]], dim="five")
        case _:
            return one * 2 - random_known(rng)


def random_known(rng, dims=None):
    choices = [v for v in KNOWN.values() if dims is None or v.dims == dims]
    one = choices[rng.integers(len(choices))]
    return [one, one**2, np.sin(one) + 1, one * 0.5][rng.integers(4)]


def dense(form: LinearForm, dims: tuple[str, ...], env) -> np.ndarray:
    """Compute a form from its terms and its offset alone, element by element of the frame."""
    total = aligner(form.offset.dims, dims)(form.offset.evaluate(env))
    for term in form.terms:
        frame = union_dims(dims, term.frame)
        sizes = [SIZES[d.partition("#")[0]] for d in frame]
        coefficient = aligner(term.coefficient.dims, frame)(term.coefficient.evaluate(env))
        picks = []
        for position in term.positions.values():
            if isinstance(position, str):
                shape = [1] * (1 + len(frame))
                shape[1 + frame.index(position)] = -1
                picks.append(np.arange(SIZES[position.partition("#")[0]]).reshape(shape))
            else:
                assert isinstance(position, Expression)
                picks.append(aligner(position.dims, frame)(position.evaluate(env)))
        x = env[term.target]
        batch = np.arange(len(x)).reshape((-1,) + (1,) * len(frame))
        product = coefficient * x[(batch, *picks)]
        product = np.broadcast_to(product, (*product.shape[:1], *sizes))
        assert set(frame) - set(dims) == set(term.summed) & set(frame)
        total = total + product.sum(axis=tuple(1 + frame.index(d) for d in term.summed))
    return total
