"""
Newcomb's speed of light
========================

In 1882 Simon Newcomb measured 66 times how long light takes for 7,442 metres. Two of the values are wildly low. A
normal model takes them at their word; a Student-t model can doubt them. Both are fitted, and the better one decides
which estimate to publish (Stigler, 1977; Bayesian Data Analysis, section 3.2).
"""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayeskit as bk

data = pd.read_csv("data/newcomb.csv", comment="#")  # deviations from 24,800 nanoseconds
y = data["deviation"].to_numpy()
print(f"{y.size} measurements, mean {y.mean():.2f}, sd {y.std(ddof=1):.2f}, the lowest {np.sort(y)[:3]} nanoseconds")

# %%
# Normal errors: exact
# --------------------
# With the textbook's prior, flat in the mean and 1/variance in the variance, the posterior is known in closed form.

normal = bk.Model()
var = normal.latent("var", bk.InverseGamma(0, 0))
mu = normal.latent("mu", bk.Flat())
normal.observed("deviation", bk.Normal(mu, var=var), dims="obs")
exact = normal.condition(data)

print("\nWhat was done with the normal model, and why:")
print(exact.explain())
low, high = exact["mu"].eti(0.95).to_numpy()
print(
    f"\nmu ~ {exact['mu']}\n   mean {float(exact['mu'].mean()):.2f}, 95 % interval [{low:.2f}, {high:.2f}] nanoseconds"
)

# %%
# Student-t errors: three numbers are sampled
# -------------------------------------------
# The degrees of freedom are unknown; their prior allows anything from heavy tails to nearly normal ones. Nothing can be
# integrated in closed form here, but three unknowns are few enough to be proposed all at once.

student = bk.Model()
mu = student.latent("mu", bk.Normal(0, 100))
sigma = student.latent("sigma", bk.HalfNormal(50))
nu = student.latent("nu", bk.Gamma(2, 0.1))
student.observed("deviation", bk.StudentT(nu, mu, sigma), dims="obs")
robust = student.condition(data)

print("\nWhat was done with the Student-t model, and why:")
print(robust.explain())
trees = {
    "normal": exact.sample(seed=1, include=["posterior_predictive"]),
    "Student-t": robust.sample(seed=1, include=["posterior_predictive"]),
}
print("\nStudent-t model (nanoseconds):")
print(az.summary(trees["Student-t"], round_to=2)[["mean", "sd", "eti89_lb", "eti89_ub", "ess_bulk", "r_hat"]])

# %%
# Which model could have given such data?
# ---------------------------------------
# Replicate the 66 measurements from each posterior, and see how low the lowest one falls.

print()
for name, tree in trees.items():
    lowest = tree["posterior_predictive"]["deviation"].min("obs")
    share = float((lowest <= y.min()).mean())
    print(f"{name:9} model: the lowest of 66 is {y.min()} or less in {100 * share:.1f} % of the replicated experiments")

# %%
# The estimates differ by a nanosecond, and the Student-t model is twice as sure of its own. Neither knows of the bias
# that the value of today reveals: no model of random errors can.

shown = {"title": False, "point_estimate_text": False}
pc = az.plot_dist(trees, var_names="mu", visuals=shown, figure_kwargs={"figsize": (8, 4)})
axes = plt.gca()
pc.add_legend("model", title="errors", loc="upper left", bbox_to_anchor=(0.13, 0.87))
axes.axvline(33.0, color="0.4", linestyle=":")
axes.annotate("today's value ", (33.0, 0.9), xycoords=("data", "axes fraction"), ha="right", color="0.4")
axes.set(xlabel="passage time (nanoseconds above 24,800)", title="Doubting two outliers halves the uncertainty")
plt.savefig("02_light_speed.png")

# %%
# Decision
# --------
# Which number should Newcomb print, if an error costs its square?

candidates = {"mean of all": y.mean(), "median": np.median(y), "mean without the two": np.sort(y)[2:].mean()}
decision = bk.decide(
    trees["Student-t"],
    loss=lambda post: {f"{name}: {value:.2f}": (post["mu"] - value) ** 2 for name, value in candidates.items()},
)
print("\nMinus the expected squared error (square nanoseconds):")
print(decision)
print(f"\nDecision: publish the {decision.best.item()} nanoseconds above 24,800.")
print("Figure: examples/02_light_speed.png")
