"""The benchmarks do not rot: every problem is stated in bayeskit, a measurement runs, and ratios are read rightly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.alone.regressions import answers, simulate
from benchmarks.alone.rows import KINDS
from benchmarks.peers import ENOUGH, Fresh
from benchmarks.problem import PROBLEMS
from benchmarks.results import Results
from benchmarks.systems import SYSTEMS
from benchmarks.targets import FRESH, WARM
from benchmarks.worker import MARK

ROOT = Path(__file__).parent.parent
SMALL = {"n": 60, "groups": 20}  # in place of the sizes that a problem has


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_a_problem_is_stated_in_bayeskit(name):
    problem = PROBLEMS[name]
    statements = problem.statements()
    data = statements.data(**{size: SMALL[size] for size in problem.sizes})
    posterior = statements.bayeskit(data)
    assert posterior.explain().startswith("method: ")
    assert set(statements.MONITORED) <= set(posterior.model.random)


def test_targets_and_systems_name_what_there_is():
    assert (WARM.keys() | FRESH.keys()) <= PROBLEMS.keys()
    assert all((ROOT / "benchmarks" / "systems" / f"{module}.py").exists() for module, _ in SYSTEMS.values())


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_numpy_pass_computes_what_bayeskit_does(kind):
    """Both passes over the rows give the same posterior: else the comparison of their times means nothing."""
    make, model, one_pass = KINDS[kind]
    data = make(40_000)
    posterior, sums = model(data), one_pass(data)
    if kind == "normal":
        n, total, squares = sums
        beta = 2 + (squares - total**2 / (n + 0.01)) / 2
        assert posterior["mu"].mean().item() == pytest.approx(total / (n + 0.01), rel=1e-11)
        assert posterior["s2"].mean().item() == pytest.approx(beta / (2 + n / 2 - 1), rel=1e-11)
    else:
        counts = np.asarray(sums) + 1.0
        np.testing.assert_allclose(
            np.atleast_1d(posterior["p"].mean()),
            (counts / counts.sum())[: counts.size - (kind == "bernoulli")],
            rtol=1e-12,
        )


def test_the_numpy_pass_checks_the_support():
    for kind, wrong in (("normal", np.nan), ("bernoulli", 2), ("categorical", 10), ("multinomial", -1)):
        make, _, one_pass = KINDS[kind]
        data = make(40_000)
        data["y"].flat[-1] = wrong
        with pytest.raises(ValueError):
            one_pass(data)


def test_regressions_answer():
    figures, evidence = answers("exact", simulate(5))
    assert [mean.shape for mean, _, _ in figures.values()] == [(5,)] * 3
    assert np.isfinite(evidence)


def test_two_measurements_run(tmp_path):
    task = {"problem": "beta_bernoulli", "system": "bayeskit", "draws": 50, "repeats": 1, "seed": 1, "limit": 60}
    for measure, said in (("fresh", "ready"), ("warm", "seconds")):
        task |= {"measure": measure, "out": str(tmp_path / f"{measure}.npz")}
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(task)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [json.loads(line.removeprefix(MARK)) for line in run.stdout.splitlines() if line.startswith(MARK)]
        assert any(said in line for line in lines)
        assert lines[-1] == {"done": True}
        with np.load(task["out"]) as draws:
            assert draws["p"].shape == (4, 50)


def test_the_search_for_draws_ends_with_enough():
    """A sampler with 1.5 effective draws in a chain's draw, at 2 s + 1 ms a draw; and one too slow for the limit."""
    search = Fresh(limit=150.0)
    while not search.status:
        seconds = 2 + search.draws / 1000
        search.learn({"status": "ok", "ready": seconds, "started": 0.0, "ess": 1.5 * search.draws, "load": 0.0})
    record = search.record()
    assert record["status"] == "ok"
    assert ENOUGH <= record["ess"] < 1.2 * ENOUGH
    assert record["total"] == pytest.approx(2 + record["ess"] / 1500)

    slow = Fresh(limit=150.0)
    slow.learn({"status": "ok", "ready": 100.0, "started": 0.0, "ess": 40.0, "load": 0.0})
    assert slow.record()["status"] == "over"


def test_ratios_and_verdicts(tmp_path):
    results = Results(tmp_path / "figures.jsonl")
    ok = {"status": "ok", "ess": 4000.0, "moments": {"ac": {"median": [0.0, 1.0], "sd": [1.0, 2.0]}}}
    results.put("warm/rats/bayeskit", ok | {"rate": 4000.0})
    results.put("warm/rats/pyjags", ok | {"rate": 1000.0})
    results.put("warm/rats/nutpie", {"status": "failed", "error": "no"})
    results.put("fresh/rats/bayeskit", ok | {"total": 1.0})
    results.put("fresh/rats/pyjags", ok | {"total": 0.5})
    results.put("fresh/rats/nutpie", {"status": "over", "limit": 150.0})
    assert list(report.warm_rows(results)[1]) == ["rats", "4,000", "1,000 pyjags", "4 x", "3 x", "met"]
    assert list(report.fresh_rows(results)[1]) == [
        "rats",
        "1",
        "0.5 pyjags",
        "0.5 x",
        ">150 nutpie",
        ">150 x",
        "4 x",
        "NOT met",
    ]
    assert Results(results.path).figures == results.figures  # what `--resume` reads
    assert not results.has("warm/rats/nutpie")  # failures are tried again

    page = tmp_path / "page.md"
    report.write_page(results, page)
    assert "| rats | 4,000 | 1,000 pyjags | 4 x | 3 x | met |" in page.read_text()
    assert report.remarks(results) == ["nutpie failed on rats (warm): no"]


def test_draws_of_something_else_are_named(tmp_path):
    """At 4,000 effective draws each, a median is known to 0.028 sd: a shift of 0.1 sd is noise, one of 0.2 is not."""
    results = Results(tmp_path / "figures.jsonl")
    for system, median in (("bayeskit", 0.0), ("pyjags", 0.2), ("nutpie", 0.4)):
        moments = {"ac": {"median": [median], "sd": [2.0]}}
        results.put(f"warm/rats/{system}", {"status": "ok", "ess": 4000.0, "rate": 1.0, "moments": moments})
    (remark,) = report.remarks(results)
    assert remark.startswith("On rats (warm), nutpie and bayeskit do not agree")
