"""Models: their statements, the binding of data, and the bound problem that inference works on."""

from bayeskit.model.model import Model

__all__ = ["Model"]
