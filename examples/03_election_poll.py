"""
An election poll
================

In late October 1988 a survey of 1,447 adults found 727 for George Bush, 583 for Michael Dukakis and 137 for others or
nobody (CBS News; Bayesian Data Analysis, section 3.4). Does Bush lead, by how much, and what should tomorrow's headline
say?
"""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayeskit as bk

# %%
# Data and model
# --------------
# The shares of the three answers have a flat prior on the simplex; their counts are multinomial.

poll = pd.read_csv("data/poll_1988.csv", comment="#", index_col="answer")
print(poll)

m = bk.Model(coords={"answer": list(poll.index)})
share = m.latent("share", bk.Dirichlet([1, 1, 1]), dims="answer")
m.derived("lead", share[0] - share[1])
m.observed("people", bk.Multinomial(int(poll["people"].sum()), share), dims="answer")
posterior = m.condition({"people": poll["people"]})

print("\nWhat was done, and why:")
print(posterior.explain())

# %%
# The posterior is a Dirichlet distribution; among those for Bush or Dukakis the share of Bush is then a beta
# distribution, and so the probability that he leads is exact too. The textbook finds "over 99.9 %" from 1,000 draws.

exact = posterior["share"]
result = pd.DataFrame({"mean": 100 * exact.mean(), "sd": 100 * exact.sd()}, index=poll.index)
print("\nShares of the answers (per cent):")
print(result.round(2))

bush, dukakis, _ = poll["people"] + 1
p_lead = 1 - float(bk.Beta(bush, dukakis).cdf(0.5))
print(f"\nP(Bush leads) = {p_lead:.5f}")

tree = posterior.sample(draws=5000, chains=4, seed=3)
lead = 100 * tree["posterior"]["lead"]
print(f"Lead: {float(lead.mean()):.2f} points, sd {float(lead.std()):.2f}")

# %%
# Decision
# --------
# A bolder headline is worth more if it is true and costs credit if it is not. In units of a plain true headline:

headlines = {
    "Too close to call": lambda lead: 0.0 * lead,
    "Bush leads": lambda lead: np.sign(lead) * np.where(lead > 0, 1, 20),
    "Bush leads by over 5 points": lambda lead: np.where(lead > 5, 2, -20) + 0.0 * lead,
    "Bush leads by over 10 points": lambda lead: np.where(lead > 10, 3, -20) + 0.0 * lead,
}
decision = bk.decide(
    tree, utility=lambda post: {text: worth(100 * post["lead"]) for text, worth in headlines.items()}, action="headline"
)
print("\nWorth of each headline:")
print(decision)

# %%
# The figure shows why: five points are nearly certain, ten are an even bet.

tree["posterior"]["lead_in_points"] = lead
az.plot_dist(
    tree,
    var_names="lead_in_points",
    visuals={"title": False, "point_estimate_text": False},
    figure_kwargs={"figsize": (8, 4)},
)
axes = plt.gca()
axes.set(xlabel="lead of Bush over Dukakis (percentage points)", ylim=(None, 1.2 * axes.get_ylim()[1]))
for points in (0, 5, 10):
    axes.axvline(points, color="0.6", linestyle=":")
    share_beyond = 100 * float((lead > points).mean())
    axes.annotate(f" {share_beyond:.1f} % beyond", (points, 0.93), xycoords=("data", "axes fraction"), color="0.3")
axes.set_title("Bush leads, very probably by more than 5 points, perhaps by 10")
plt.savefig("03_election_poll.png")

print(f"\nDecision: print '{decision.best.item()}'.")
print("Figure: examples/03_election_poll.png")
