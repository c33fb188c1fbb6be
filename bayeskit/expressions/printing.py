"""Expressions as the field writes them: ``alpha[county] + beta * x``."""

from __future__ import annotations

import numpy as np

from bayeskit.expressions.gram import InverseGramFactor
from bayeskit.expressions.nodes import Apply, Constant, Expression, Variable
from bayeskit.expressions.structure import (
    Contract,
    Cumsum,
    Index,
    Join,
    MatrixFunction,
    Reduce,
    Rename,
    Scatter,
    fitting_dim,
)

_INFIX = {  # as tightly as Python binds them, so that what is printed can be pasted
    "less": ("<", 1), "less_equal": ("<=", 1), "greater": (">", 1), "greater_equal": (">=", 1),
    "equal": ("==", 1), "not_equal": ("!=", 1),
    "logical_or": ("|", 2), "logical_and": ("&", 3),
    "add": ("+", 4), "subtract": ("-", 4), "multiply": ("*", 5), "divide": ("/", 5),
    "floor_divide": ("//", 5), "remainder": ("%", 5), "power": ("**", 7),
}  # fmt: skip
_ASSOCIATES_WITH = {  # a + (b - c) needs no brackets, a - (b + c) does
    "add": {"add", "subtract"}, "multiply": {"multiply", "divide"},
    "logical_or": {"logical_or"}, "logical_and": {"logical_and"},
}  # fmt: skip


def print_expression(expression: Expression) -> str:
    """Return the text of an expression."""
    return _text(expression, 0)


def print_number(value: object) -> str:
    """Return a number, or the shape of an array, as short as is exact."""
    array = np.asarray(value)
    if array.ndim:
        return np.array2string(array, separator=", ", threshold=8, precision=6).replace("\n", "")
    item = array.item()
    return f"{item:.12g}" if isinstance(item, float) else str(item)


def _text(node: Expression, outer: int) -> str:
    """Print a node within an operator of binding strength ``outer``."""
    if isinstance(node, Variable):
        return node.name.partition("@")[0]  # a later batch of data binds 'n' as 'n@1'
    if isinstance(node, Constant):
        text = print_number(node.value)
        return _wrap(text, 6 if text.startswith("-") else 9, outer)
    if isinstance(node, Scatter):
        return node.name
    if isinstance(node, Rename):
        return _text(node.arg, outer)
    if isinstance(node, Apply):
        return _apply_text(node, outer)
    if isinstance(node, Index):
        keys = node.indices
        if len(keys) == 1:
            ((dim, key),) = keys.items()
            if fitting_dim(node.table, key) == dim:
                return f"{_text(node.table, 9)}[{_text(key, 0)}]"
        inner = ", ".join(f'"{d}": {_text(i, 0)}' for d, i in keys.items())
        return f"{_text(node.table, 9)}[{{{inner}}}]"
    if isinstance(node, Contract):
        return _wrap(f"{_text(node.left, 5)} @ {_text(node.right, 6)}", 5, outer)
    if isinstance(node, Reduce):
        return f'{_text(node.arg, 9)}.{"mean" if node.mean_ else "sum"}("{node.dim}")'
    if isinstance(node, Cumsum):
        return f'{_text(node.arg, 9)}.cumsum("{node.dim}")'
    if isinstance(node, Join):
        verb = "stack" if all(a is None for a in node.along) else "concat"
        return f'{verb}([{", ".join(_text(p, 0) for p in node.pieces)}], "{node.dim}")'
    if isinstance(node, MatrixFunction):
        return f"{node.name}({_text(node.arg, 0)})"
    if isinstance(node, InverseGramFactor):
        return f"inverse_gram_factor({_text(node.design, 0)})"
    return type(node).__name__  # pragma: no cover - every node has its text above


def _apply_text(node: Apply, outer: int) -> str:
    name = node.function
    if name in _INFIX:
        sign, strength = _INFIX[name]
        left = _text(node.args[0], strength + (name == "power" or strength == 1))
        inner = node.args[1].function if isinstance(node.args[1], Apply) else ""
        tight = 6 if name == "power" else strength + (inner not in _ASSOCIATES_WITH.get(name, ()))  # 2**-1 needs none
        right = _text(node.args[1], tight)
        return _wrap(f"{left}{sign}{right}" if name == "power" else f"{left} {sign} {right}", strength, outer)
    if name == "negative":
        return _wrap(f"-{_text(node.args[0], 6)}", 6, outer)
    if name == "logical_not":
        return _wrap(f"~{_text(node.args[0], 8)}", 8, outer)
    return f"{'abs' if name == 'absolute' else name}({', '.join(_text(a, 0) for a in node.args)})"


def _wrap(text: str, strength: int, outer: int) -> str:
    return f"({text})" if strength < outer else text
