"""A model as the field writes it: ``theta[school] ~ Normal(mu, tau)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayeskit.model.model import Model


def print_model(model: Model) -> str:
    """Return the text of a model, one statement a line, in the order they were written."""
    lines = [f"{_head(r.name, r.dims)} ~ {r.distribution}" for r in model.random.values()]
    lines += [f"{_head(d.name, d.expression.dims)} = {d.expression}" for d in model.derivations.values()]
    lines += [
        f"require {t.expression}" if t.is_condition else f"{t.name}: log density += {t.expression}"
        for t in model.terms.values()
    ]
    return "\n".join(lines) if lines else "an empty model"


def _head(name: str, dims: tuple[str, ...]) -> str:
    return f"{name}[{', '.join(dims)}]" if dims else name
