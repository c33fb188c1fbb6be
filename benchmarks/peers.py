"""Side by side: every system on a problem, in turns, each measurement in a process of its own."""

import math
from dataclasses import dataclass, field
from statistics import median

from benchmarks.children import run_child
from benchmarks.problem import PROBLEMS, TUNE, Problem
from benchmarks.results import Results
from benchmarks.systems import NEEDS, SYSTEMS

ENOUGH = 4000  # effective draws
MARGIN = 1.1  # asked for a little more, since an ESS is an estimate
MOST_TRIES = 6
START = 30.0  # seconds that imports and compilation may take: these do not grow with the draws
REPEATS = ((5.0, 3), (20.0, 2), (math.inf, 1))  # measurements that take up to so many seconds are taken so often


@dataclass
class Fresh:
    """The search for the number of draws with which a fresh process has 4,000 effective ones, and how long it takes."""

    limit: float
    draws: int = 1000
    tries: list[dict] = field(default_factory=list)
    status: str = ""

    def learn(self, figures: dict) -> None:
        """Take one measurement in, and say how many draws the next one should ask for."""
        total = figures["ready"] - figures["started"] if "ready" in figures else None
        ess = figures.get("ess")
        self.tries.append({"draws": self.draws, "total": total, "ess": ess, "load": figures["load"]})
        if figures["status"] != "ok":
            self.status = figures["status"]
            return
        valid = [t for t in self.tries if t["ess"] >= ENOUGH]
        wanted = math.ceil(self.draws * MARGIN * ENOUGH / max(ess, 1.0))
        if ess < ENOUGH:
            at_least = (total - START) * (wanted + TUNE) / (self.draws + TUNE)
            self.draws = wanted
            if at_least > self.limit or len(self.tries) >= MOST_TRIES:
                self.status = "ok" if valid else "over"
        elif len(self.tries) == 1 and ess > 1.5 * ENOUGH:
            self.draws = wanted
        elif len(valid) >= next(n for most, n in REPEATS if total <= most) or len(self.tries) >= MOST_TRIES:
            self.status = "ok"

    def record(self) -> dict:
        valid = [t for t in self.tries if t["total"] is not None and (t["ess"] or 0) >= ENOUGH]
        figures: dict = {"status": "ok" if valid else self.status, "limit": self.limit, "tries": self.tries}
        if valid:
            figures |= {"total": median(t["total"] for t in valid), "ess": median(t["ess"] for t in valid)}
        return figures


def systems_for(problem: Problem, wanted: list[str]) -> list[str]:
    """Return the systems in which a problem is stated."""
    statements = problem.statements()
    return [s for s in wanted if getattr(statements, NEEDS[s], None)]


def measure_fresh(problem: Problem, pythons: dict[str, str], say) -> dict[str, dict]:
    """Return a record a system; the systems take turns until each has what it needs."""
    searches = {system: Fresh(problem.limit) for system in pythons}
    details: dict[str, dict] = {}
    turn = 0
    while open_ones := [system for system, search in searches.items() if not search.status]:
        turn += 1
        for system in open_ones:
            search = searches[system]
            task = {"measure": "fresh", "problem": problem.name, "system": system, "draws": search.draws, "seed": turn}
            figures = run_child(pythons[system], task, problem.limit)
            search.learn(figures)
            kept = ("error", "moments", "memory", "baseline")
            details[system] = details.get(system, {}) | {k: figures[k] for k in kept if k in figures}
            say(f"  fresh {system}: {search.tries[-1]} {search.status} {figures.get('error', '')}")
    return {system: search.record() | details[system] for system, search in searches.items()}


def measure_warm(problem: Problem, pythons: dict[str, str], draws: int, repeats: int, results: Results, say):
    """Return a record a system: calls after the first, in one process. bayeskit goes first and comes again last."""
    order = [*pythons, *(s for s in pythons if s == "bayeskit")]
    records: dict[str, dict] = {}
    for system in order:
        count = fitting_draws(results.get("fresh", problem.name, system), draws, problem.limit)
        task = {"measure": "warm", "problem": problem.name, "system": system, "draws": count}
        task |= {"repeats": repeats, "seed": 1, "limit": problem.limit}
        figures = run_child(pythons[system], task, 2.5 * problem.limit)
        figures |= {"draws": count, "limit": problem.limit}
        if "seconds" in figures and "ess" in figures:
            figures["status"] = "ok"  # cut short after what is needed was there
        before = records.get(system, {"status": ""})
        if before["status"] == figures["status"] == "ok":
            figures["seconds"] = before["seconds"] + figures["seconds"]
            figures["ess"] = (before["ess"] + figures["ess"]) / 2
        if figures["status"] == "ok":
            figures["rate"] = figures["ess"] / median(figures["seconds"])
        if before["status"] != "ok" or figures["status"] == "ok":
            records[system] = figures
        say(f"  warm {system}: " + str({k: v for k, v in figures.items() if k != "moments"}))
    return records


def fitting_draws(fresh: dict | None, draws: int, limit: float) -> int:
    """Return fewer draws a chain where a fresh process has shown that so many would take beyond the limit."""
    seen = [t for t in (fresh or {}).get("tries", []) if t["total"] is not None]
    if fresh is not None and not seen:
        return min(draws, 1000)
    if not seen:
        return draws
    expected = seen[-1]["total"] * (draws + TUNE) / (seen[-1]["draws"] + TUNE)
    return draws if expected < limit else min(draws, 1000)


def side_by_side(names, measures, pythons, results: Results, *, resume: bool, repeats: int, draws: int | None, say):
    """Measure the named problems with every system that has a Python to run it."""
    for name in names:
        problem = PROBLEMS[name]
        for measure in (m for m in ("fresh", "warm") if m in measures and m in problem.measures):
            able = systems_for(problem, [s for s in SYSTEMS if s in pythons])
            todo = [s for s in able if not (resume and results.has(f"{measure}/{name}/{s}"))]
            if not todo:
                continue
            say(f"{name}, {measure}: {', '.join(todo)}")
            problem.data()  # simulated and written before anything is timed
            chosen = {s: pythons[s] for s in todo}
            if measure == "fresh":
                records = measure_fresh(problem, chosen, say)
            else:
                records = measure_warm(problem, chosen, draws or problem.draws, repeats, results, say)
            for system, record in records.items():
                results.put(f"{measure}/{name}/{system}", record)
