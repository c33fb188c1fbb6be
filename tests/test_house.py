"""The house rules: which room may import which, how long things may be, and that importing bayeskit stays cheap."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bayeskit

PACKAGE = Path(bayeskit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE.parent).as_posix() for path in MODULES]

# Room -> rooms it may import. Every room may also import itself, `errors` and `_version`.
MAY_IMPORT = {
    "errors": set(),
    "_version": set(),
    "expressions": set(),
    "distributions": {"expressions"},
    "model": {"expressions", "distributions"},
    "statistics": {"expressions", "distributions", "model"},
    "conjugate": {"expressions", "distributions"},
    "inference": {"expressions", "distributions", "model", "statistics", "conjugate"},
    "posterior": {"expressions", "distributions", "model", "statistics", "conjugate", "inference"},
    "decision": {"distributions"},
}
ON_TOP = {"__init__", "testing"}  # these may import every room, and no room may import them

# The one way up: `Model.condition` returns a Posterior, which it imports inside the function that makes it (and, for
# the annotation, under TYPE_CHECKING).
UPWARD = {("bayeskit/model/model.py", "posterior")}

HEAVY = ["arviz", "arviz_base", "matplotlib", "narwhals", "opt_einsum", "pandas", "scipy.stats", "tqdm", "xarray"]


def room_of(dotted: str) -> str:
    """`bayeskit.model.data` -> `model`; `bayeskit` itself -> `__init__`."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports_of(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """The rooms of bayeskit that a module imports, and whether it does so lazily (in a function or for types only)."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((room_of(a.name), lazy) for a in node.names if a.name.split(".")[0] == "bayeskit")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            if node.module == "bayeskit":  # from bayeskit import errors
                yield from ((room_of(f"bayeskit.{a.name}"), lazy) for a in node.names)
            elif (node.module or "").startswith("bayeskit."):
                yield room_of(node.module), lazy
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for child in node.body:
                yield from walk(child, True)
            for child in node.orelse:
                yield from walk(child, lazy)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inside)

    yield from walk(tree, False)


def misdirected(path: str, tree: ast.Module) -> list[str]:
    room = path.split("/")[1].removesuffix(".py")
    if room in ON_TOP:
        return []
    allowed = MAY_IMPORT[room] | {room, "errors", "_version"}
    return [
        f"{path} ({room}) imports {target}"
        for target, lazy in imports_of(tree)
        if target not in allowed and not (lazy and (path, target) in UPWARD)
    ]


@pytest.mark.parametrize("path", NAMES)
def test_imports_go_one_way(path):
    assert misdirected(path, parse(path)) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("bayeskit/conjugate/rules.py", "from bayeskit.model import Model"),
        ("bayeskit/decision/decide.py", "import bayeskit.inference.plan"),
        ("bayeskit/distributions/normal.py", "def f():\n    from bayeskit import posterior"),
        ("bayeskit/model/model.py", "from bayeskit.posterior import Posterior"),  # the exception is for lazy imports
        ("bayeskit/model/data.py", "def f():\n    from bayeskit.posterior import Posterior"),  # and for one module
        ("bayeskit/expressions/nodes.py", "import bayeskit"),
    ],
)
def test_a_misdirected_import_is_seen(path, text):
    assert len(misdirected(path, ast.parse(text))) == 1


@pytest.mark.parametrize("path", NAMES)
def test_modules_and_functions_stay_short(path):
    assert len(text_of(path).splitlines()) <= 450
    long = [
        f"{path}:{node.lineno} {node.name} has {lines} lines"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := lines_of_code(node)) > 70
    ]
    assert long == []


@pytest.mark.parametrize("path", NAMES)
def test_public_things_have_docstrings(path):
    tree = parse(path)
    bare = [
        f"{path}:{node.lineno} {node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []
    assert ast.get_docstring(tree), f"{path} does not say what it is"


def test_public_names_are_there_and_typed_alike():
    assert [name for name in bayeskit.__all__ if getattr(bayeskit, name, None) is None] == []
    assert set(bayeskit.__all__) <= set(dir(bayeskit))

    block = next(node for node in parse("bayeskit/__init__.py").body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body for alias in node.names}
    assert typed == set(bayeskit.__all__) - {"__version__"}


def test_every_family_is_public():
    from bayeskit import distributions

    families = {
        name
        for name in distributions.__all__
        if isinstance(getattr(distributions, name), type)
        and issubclass(getattr(distributions, name), distributions.Distribution)
    }
    assert families - {"Distribution"} <= set(bayeskit.__all__)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Norml'"):
        _ = bayeskit.Norml


def fresh(code: str) -> object:
    """What a new Python process prints as JSON."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize("code", ["import bayeskit", "import bayeskit as bk; [getattr(bk, n) for n in bk.__all__]"])
def test_nothing_heavy_is_imported(code):
    loaded = fresh(f"{code}\nimport json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))")
    assert loaded == []


@pytest.mark.parametrize(
    ("code", "limit"), [("import bayeskit", 1.3), ("import bayeskit; bayeskit.Model, bayeskit.Normal", 2.0)]
)
def test_import_is_cheap(code, limit):
    timed = "import time, json; t = time.perf_counter(); {}; print(json.dumps(time.perf_counter() - t))"
    ours, theirs = [], []
    for _ in range(5):  # interleaved, and the best of each: other work on the machine only ever adds
        ours.append(fresh(timed.format(code)))
        theirs.append(fresh(timed.format("import numpy, scipy.special")))
    assert min(ours) < limit * min(theirs)


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring: that one may be as long as it has things to say."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def text_of(path: str) -> str:
    return (PACKAGE.parent / path).read_text(encoding="utf-8")


def parse(path: str) -> ast.Module:
    return ast.parse(text_of(path))
