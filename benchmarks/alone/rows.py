"""Ten million rows: `condition` against one cache-blocked NumPy pass for the same sums that checks the support too.

And the draws after it, against those after ten thousand rows: they must cost the same.
"""

from statistics import median

import numpy as np

from benchmarks.clock import timed, traced_peak

BLOCK = 8_192  # numbers: 64 KB, which stays in the second-level cache; above 10,000 OpenBLAS takes threads for a dot
CATEGORIES = 10


def blocks(y):
    for start in range(0, len(y), BLOCK):
        yield y[start : start + BLOCK]


def normal_data(n):
    return {"y": np.random.default_rng(11).normal(3.0, 2.0, n)}


def normal_model(data):
    from benchmarks.problems.normal_unknown import bayeskit

    return bayeskit(data)


def normal_pass(data):
    """Count, sum and sum of squares, not centred: the least that anyone would do. That all are finite shows in them."""
    total, squares = 0.0, 0.0
    for block in blocks(data["y"]):
        total += block.sum()
        squares += block @ block
    if not np.isfinite(squares):
        raise ValueError("not finite")
    return len(data["y"]), total, squares


def bernoulli_data(n):
    return {"y": np.random.default_rng(12).binomial(1, 0.3, n)}


def bernoulli_model(data):
    from benchmarks.problems.beta_bernoulli import bayeskit

    return bayeskit(data)


def bernoulli_pass(data):
    y = data["y"]
    ones, low, high = 0, 0, 1
    for block in blocks(y):
        ones += block.sum()
        low, high = min(low, block.min()), max(high, block.max())
    if low < 0 or high > 1:
        raise ValueError("not 0 or 1")
    return ones, len(y) - ones


def categorical_data(n):
    return {"y": np.random.default_rng(13).integers(0, CATEGORIES, n)}


def categorical_model(data):
    from benchmarks.problems.dirichlet_multinomial import bayeskit

    return bayeskit(data)


def categorical_pass(data):
    counts = np.zeros(CATEGORIES, dtype=np.int64)
    for block in blocks(data["y"]):
        here = np.bincount(block, minlength=CATEGORIES)  # refuses negative numbers itself
        if len(here) > CATEGORIES:
            raise ValueError("beyond the categories")
        counts += here
    return counts


def multinomial_data(n):
    """n numbers: rows of ten counts each."""
    counts = np.random.default_rng(14).multinomial(20, np.full(CATEGORIES, 1 / CATEGORIES), n // CATEGORIES)
    return {"y": counts, "total": counts.sum(axis=1)}


def multinomial_model(data):
    import bayeskit as bk

    m = bk.Model(coords={"face": CATEGORIES})
    total = m.data("total", dims="obs")
    p = m.latent("p", bk.Dirichlet(np.ones(CATEGORIES)), dims="face")
    m.observed("y", bk.Multinomial(total, p), dims=("obs", "face"))
    return m.condition(data)


def multinomial_pass(data):
    y, total = data["y"], data["total"]
    counts = np.zeros(y.shape[1], dtype=np.int64)
    rows = BLOCK // y.shape[1]
    for start in range(0, len(y), rows):
        block = y[start : start + rows]
        if block.min() < 0 or not np.array_equal(block.sum(axis=1), total[start : start + rows]):
            raise ValueError("not counts, or not of that total")
        counts += block.sum(axis=0)
    return counts


KINDS = {
    "normal": (normal_data, normal_model, normal_pass),
    "bernoulli": (bernoulli_data, bernoulli_model, bernoulli_pass),
    "categorical": (categorical_data, categorical_model, categorical_pass),
    "multinomial": (multinomial_data, multinomial_model, multinomial_pass),
}
FEW = 10_000


def known(model, data):
    """From data to a posterior that has been asked for something: whatever is put off until then is counted too."""
    posterior = model(data)
    posterior.explain()
    return posterior


def measure(task, emit):
    make, model, one_pass = KINDS[task["kind"]]
    few, data = known(model, make(min(FEW, task["rows"]))), make(task["rows"])
    passes, conditions = [], []
    for _ in range(1 + task["repeats"]):  # side by side, since a machine's speed drifts
        passes.append(timed(lambda: one_pass(data))[1])
        conditions.append(timed(lambda: known(model, data))[1])
    emit(numpy=median(passes[1:]), condition=median(conditions[1:]), memory=traced_peak(lambda: known(model, data)))
    many = known(model, data)
    draw = {"draws": 4000, "chains": 4, "seed": 1, "progress": False}
    after_few, after_many = [], []
    for _ in range(1 + task["repeats"]):
        after_few.append(timed(lambda: few.sample(**draw))[1])
        after_many.append(timed(lambda: many.sample(**draw))[1])
    emit(draws_few=median(after_few[1:]), draws_many=median(after_many[1:]))
