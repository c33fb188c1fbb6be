"""Run the benchmarks.

python -m benchmarks                                bayeskit alone
python -m benchmarks --peers PYTHON                 side by side with the peers that this Python has
python -m benchmarks rats pumps --only warm         some problems, one measure
python -m benchmarks --report                       print the figures that are there
"""

import argparse
import os
import platform
import sys
import time
from compileall import compile_dir
from datetime import UTC, datetime
from pathlib import Path

import bayeskit
from benchmarks.alone import run as alone
from benchmarks.children import versions
from benchmarks.peers import side_by_side
from benchmarks.problem import PROBLEMS
from benchmarks.report import summary, write_page
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS

PACKAGES = {
    "bayeskit": ["bayeskit"],
    "pyjags": ["pyjags"],
    "pyjags-glm": ["pyjags"],
    "nutpie": ["nutpie", "pymc"],
    "numpyro": ["numpyro", "jax"],
    "numpyro-vectorized": ["numpyro", "jax"],
    "numpyro-x64": ["numpyro", "jax"],
    "pymc": ["pymc"],
    "conjugate-models": ["conjugate-models"],
}
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks_table.md"
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="How fast bayeskit is, alone and beside its peers.")
    parser.add_argument("problems", nargs="*", help=f"some of {', '.join(PROBLEMS)}; by default all but the extra ones")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has the peers: measure side by side")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), help="by default all but pymc")
    parser.add_argument("--only", nargs="+", choices=["fresh", "warm", *alone.MEASURES], help="measures to take")
    parser.add_argument("--resume", action="store_true", help="keep what was measured, go on with the rest")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--repeats", type=int, default=3, help="calls after the first, when warm")
    parser.add_argument(
        "--draws", type=int, help="draws a chain when warm: by default 1,000 alone, 4,000 beside the peers"
    )
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for a measurement of bayeskit alone")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="below 1: fewer rows and groups, to try the harness out"
    )
    parser.add_argument("--results", type=Path, help="file of the figures")
    parser.add_argument("--page", type=Path, default=PAGE, help="page of the documentation to write (with --peers)")
    chosen = parser.parse_args()
    if unknown := set(chosen.problems) - PROBLEMS.keys():
        parser.error(f"no problem {', '.join(sorted(unknown))}; there are {', '.join(PROBLEMS)}")
    return chosen


def find_systems(peers: str, wanted: list[str] | None) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the Python of every system that can be run, the versions found, and the systems that are missing."""
    found = versions(sys.executable, ["bayeskit", "numpy", "scipy"])
    there = versions(peers, sorted({p for s, names in PACKAGES.items() if s != "bayeskit" for p in names}))
    pythons: dict[str, str] = {}
    missing: list[str] = []
    for system in wanted or [s for s in SYSTEMS if s != "pymc"]:
        if system == "bayeskit":
            pythons[system] = sys.executable
        elif all(package in there for package in PACKAGES[system]):
            pythons[system] = peers
        else:
            say(f"{system} is not installed in {peers}: left out")
            missing.append(system)
    return pythons, found | there, missing


def main() -> None:
    chosen = options()
    results = Results(chosen.results) if chosen.results else Results()
    names = chosen.problems or [name for name, problem in PROBLEMS.items() if not problem.extra]
    if not chosen.report:
        compile_dir(bayeskit.__path__[0], quiet=1)  # as installing it does, and did for the peers
        measure(chosen, names, results)
    if not chosen.peers:
        print("\nbayeskit alone, when warm (per row: condition and plan)\n" + alone.stages_table(results, names))
        print("\nHow it grows (200 + 200 draws a chain)\n" + alone.growth_table(results))
    print(summary(results))
    if chosen.peers:
        write_page(results, chosen.page)
        say(f"written: {chosen.page}")


def measure(chosen: argparse.Namespace, names: list[str], results: Results) -> None:
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"The machine is busy (load {load:.1f}): the figures will not mean much.")
    measures = chosen.only or (["rows", "regressions", "fresh", "warm"] if chosen.peers else alone.MEASURES)
    if chosen.problems and not chosen.only:  # some problems: nothing else
        measures = [m for m in measures if m in ("stages", "fresh", "warm")]
    todo = alone.tasks(measures, names, draws=chosen.draws or 1000, scale=chosen.scale, repeats=chosen.repeats)
    pythons, found, missing = find_systems(chosen.peers, chosen.systems) if chosen.peers else ({}, {}, [])
    if not chosen.resume:
        results.forget(
            [*todo, *(f"{m}/{n}/{s}" for m in ("fresh", "warm") if m in measures for n in names for s in pythons)]
        )
    alone.run(todo, sys.executable, results, resume=chosen.resume, limit=chosen.limit, say=say)
    if chosen.peers:
        day = datetime.now(UTC).date().isoformat()
        about = {
            "day": day,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "versions": found,
            "missing": missing,
        }
        results.put("about", about)
        side_by_side(
            names, measures, pythons, results, resume=chosen.resume, repeats=chosen.repeats, draws=chosen.draws, say=say
        )


if __name__ == "__main__":
    main()
