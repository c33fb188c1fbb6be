"""What the tests of binding share."""

import numpy as np
import pytest

from bayeskit.errors import BayeskitError
from bayeskit.model.binding import Binding, bind, read


def problem_of(model, *batches, **more):
    """Bind data as `condition` does, and further batches as `update` does: all at once, and one after the other."""
    given = [read(model, data, more if number == 0 else {}) for number, data in enumerate(batches)]
    if len(given) < 2:
        return bind(model, given)
    first = Binding(model, given[:1])
    try:
        problem = bind(model, given)
    except BayeskitError as error:
        with pytest.raises(type(error)) as caught:
            in_steps(first, given[1:])
        assert str(caught.value) == str(error)
        raise
    assert contents(in_steps(first, given[1:]).problem) == contents(problem)
    return problem


def in_steps(binding, batches):
    for batch in batches:
        binding = binding.extended(batch)
    return binding


def contents(problem):
    """All of a problem in a form that compares."""
    factors = [
        (f.name, str(f.value), f.parameters, f.plates, f.event, sorted(f.sizes.items())) for f in problem.factors
    ]
    return repr(
        [
            factors,
            [(n, latent.shape, latent.prior.name) for n, latent in problem.latents.items()],
            sorted((n, v.tolist()) for n, v in problem.env.items()),
            [(d, v.tolist()) for d, v in sorted(problem.coords.items())],
            [sorted((d, v.tolist()) for d, v in coords.items()) for coords in problem.batch_coords],
            problem.derived,
            problem.derived_later,
            problem.potentials,
            problem.conditions,
            [(o.name, o.values.tolist(), o.is_missing.tolist(), o.known is o.factor) for o in problem.observations],
            [(d, sorted((n, v.tolist()) for n, v in cells.items())) for d, cells in problem.cell_labels.items()],
        ]
    )


def state_of(problem, seed=0, batch=2, **given):
    """Values for the latents that are not given: positive, so that they serve as scales too."""
    rng = np.random.default_rng(seed)
    return {n: given.get(n, rng.gamma(2.0, size=(batch, *latent.shape))) for n, latent in problem.latents.items()}
