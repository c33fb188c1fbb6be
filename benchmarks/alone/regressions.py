"""Ten thousand independent regressions, three unknowns each: means, sds, intervals and evidences, without a draw.

Once with the conjugate prior (a, b ~ N(0, 100 s2)), where the posterior is known, and once with a, b ~ N(0, 10^2),
where one number a group has no closed form.
"""

import numpy as np

from benchmarks.clock import timed, traced_peak

ROWS = 20  # a group
NAMES = ("a", "b", "s2")


def simulate(groups):
    rng = np.random.default_rng(15)
    x = rng.standard_normal((groups, ROWS))
    a, b = rng.standard_normal((2, groups, 1))
    return {"x": x, "y": a + b * x + rng.gamma(4, 0.25, (groups, 1)) ** 0.5 * rng.standard_normal((groups, ROWS))}


def model(prior):
    import bayeskit as bk

    m = bk.Model()
    x = m.data("x", dims=("group", "row"))
    s2 = m.latent("s2", bk.InverseGamma(2, 1), dims="group")
    wide = bk.Normal(0, var=100 * s2) if prior == "exact" else bk.Normal(0, 10)
    a, b = m.latent("a", wide, dims="group"), m.latent("b", wide, dims="group")
    m.observed("y", bk.Normal(a + b * x, var=s2), dims=("group", "row"))
    return m


def answers(prior, data):
    """Return everything that is asked of the posteriors: a refusal is an answer too."""
    posterior = model(prior).condition(data)
    figures = {}
    for name in NAMES:
        marginal = posterior[name]
        figures[name] = (marginal.mean(), marginal.sd(), marginal.eti(0.89))
    return figures, posterior.log_evidence()


def measure(task, emit):
    from bayeskit.errors import RefusedError

    data = simulate(task["groups"])
    try:
        for _ in range(1 + task["repeats"]):
            emit(seconds=timed(lambda: answers(task["prior"], data))[1])
        emit(memory=traced_peak(lambda: answers(task["prior"], data)))
    except RefusedError as refusal:
        emit(refused=str(refusal)[:200])
