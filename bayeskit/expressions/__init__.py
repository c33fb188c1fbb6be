"""How a quantity depends on others: operations, evaluation, linear and power forms, printing."""

from bayeskit.expressions.nodes import Constant, Expression, Variable, aligner, as_expression, union_dims
from bayeskit.expressions.structure import concat, correlation, det, inverse, stack

__all__ = [
    "Constant",
    "Expression",
    "Variable",
    "aligner",
    "as_expression",
    "concat",
    "correlation",
    "det",
    "inverse",
    "stack",
    "union_dims",
]
