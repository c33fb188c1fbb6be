"""What the tests of binding share."""

import numpy as np

from bayeskit.model.binding import bind, read


def problem_of(model, *batches, **more):
    """Bind data as `condition` does, and further batches as `update` does."""
    return bind(model, [read(model, data, more if number == 0 else {}) for number, data in enumerate(batches)])


def state_of(problem, seed=0, batch=2, **given):
    """Values for the latents that are not given: positive, so that they serve as scales too."""
    rng = np.random.default_rng(seed)
    return {n: given.get(n, rng.gamma(2.0, size=(batch, *latent.shape))) for n, latent in problem.latents.items()}
