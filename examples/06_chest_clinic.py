"""
The chest clinic
================

A patient is short of breath. Was it the visit to Asia, the cigarettes, or only bronchitis? Lauritzen and Spiegelhalter
(1988) wrote down eight yes-or-no variables and what depends on what. All tables are known, so every answer is exact.
"""

import matplotlib.pyplot as plt
import numpy as np

import bayeskit as bk

clinic = bk.Model()
asia = clinic.latent("asia", bk.Bernoulli(0.01))
smoke = clinic.latent("smoke", bk.Bernoulli(0.5))
tub = clinic.latent("tub", bk.Bernoulli(np.where(asia, 0.05, 0.01)))
lung = clinic.latent("lung", bk.Bernoulli(np.where(smoke, 0.1, 0.01)))
bronc = clinic.latent("bronc", bk.Bernoulli(np.where(smoke, 0.6, 0.3)))
either = tub | lung  # an x-ray does not tell them apart
xray = clinic.latent("xray", bk.Bernoulli(np.where(either, 0.98, 0.05)))
breathless = np.where(either, np.where(bronc, 0.9, 0.7), np.where(bronc, 0.8, 0.1))
clinic.observed("dysp", bk.Bernoulli(breathless))

# %%
# One finding after the other
# ---------------------------
# What is found out about a latent is given to `condition` like data. Variables are summed out one by one; the widest
# table on the way is far smaller than the 256 states of them all.

steps = {
    "short of breath": {"dysp": 1},
    "has been to Asia": {"dysp": 1, "asia": 1},
    "smokes": {"dysp": 1, "asia": 1, "smoke": 1},
    "x-ray is clear": {"dysp": 1, "asia": 1, "smoke": 1, "xray": 0},
}
posteriors = {step: clinic.condition(known) for step, known in steps.items()}
print(posteriors["short of breath"].explain())

causes = {"tub": "tuberculosis", "lung": "lung cancer", "bronc": "bronchitis"}
print(f"\n{'chances in %':20}" + "".join(f"{cause:>14}" for cause in causes.values()) + f"{'ln evidence':>14}")
for step, posterior in posteriors.items():
    chances = "".join(f"{100 * float(posterior[name].mean()):14.2f}" for name in causes)
    print(f"{step:20}{chances}{posterior.log_evidence():14.4f}")

# %%
# The most probable explanation is a state of all unknowns together.

mode = posteriors["x-ray is clear"].mode()
print(f"\nMost probable of all for the last: {mode}")

figure, axes = plt.subplots(figsize=(8, 4))
place = np.arange(len(causes))
for i, (step, posterior) in enumerate(posteriors.items()):
    axes.bar(place + 0.2 * (i - 1.5), [float(posterior[n].mean()) for n in causes], 0.18, label=step)
axes.set_xticks(place, causes.values())
axes.set_ylabel("probability")
axes.legend(title="and then", frameon=False)
figure.savefig("06_chest_clinic.png", dpi=150, bbox_inches="tight")
print("\nFigure: examples/06_chest_clinic.png")
