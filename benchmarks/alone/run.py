"""Run what needs no peers, and print it."""

import math

from benchmarks.alone.growth import DIALS
from benchmarks.alone.rows import KINDS
from benchmarks.children import run_child
from benchmarks.problem import PROBLEMS
from benchmarks.report import columns
from benchmarks.results import Results
from benchmarks.targets import GROUPS, REGRESSIONS, ROWS

MEASURES = ("stages", "growth", "rows", "regressions")


def tasks(measures, names, *, draws: int, scale: float, repeats: int) -> dict[str, dict]:
    """Return the tasks by key; `scale` below 1 makes rows and groups fewer, to try the harness out."""
    todo = {}
    if "stages" in measures:
        for name in names:
            todo[f"stages/{name}"] = {"problem": name, "draws": draws, "repeats": repeats}
    if "growth" in measures:
        todo |= {f"growth/{dial}": {"dial": dial, "repeats": 1} for dial in DIALS}
    if "rows" in measures:
        todo |= {f"rows/{kind}": {"kind": kind, "rows": int(ROWS * scale), "repeats": repeats} for kind in KINDS}
    if "regressions" in measures:
        groups = max(10, int(GROUPS * scale))
        todo |= {f"regressions/{p}": {"prior": p, "groups": groups, "repeats": repeats} for p in REGRESSIONS}
    return {key: {"measure": key.split("/")[0]} | task for key, task in todo.items()}


def run(todo: dict[str, dict], python: str, results: Results, *, resume: bool, limit: float, say) -> None:
    for key, task in todo.items():
        if resume and results.has(key):
            continue
        if "problem" in task:
            PROBLEMS[task["problem"]].data()
        record = run_child(python, task, limit) | {"task": task, "limit": limit}
        results.put(key, record)
        say(f"{key}: {record['status']} {record.get('error', '')}")


def stages_table(results: Results, names) -> str:
    """Return the seconds of each stage when warm; ESS is the worst bulk ESS over all monitored scalars."""
    rows = [("problem", "method", "condition", "plan", "sample", "per row", "sweeps/s", "draws/s", "ESS/s", "memory")]
    for name in names:
        record = results.get("stages", name)
        if record is None:
            continue
        if "sample" not in record:
            rows.append((name, record["status"], *[""] * 8))
            continue
        total = record["condition"] + record["plan"] + record["sample"]
        draws, chains = record["task"]["draws"], record["chains"]
        sweeps = (draws + record["tune"]) / record["sample"] if record["method"] in ("gibbs", "metropolis") else None
        rows.append(
            (
                name,
                record["method"],
                seconds(record["condition"]),
                seconds(record["plan"]),
                seconds(record["sample"]),
                seconds((record["condition"] + record["plan"]) / record["rows"]),
                "" if sweeps is None else f"{sweeps:,.0f}",
                f"{draws * chains / record['sample']:,.0f}",
                f"{record['ess'] / total:,.0f}" if "ess" in record else "",
                f"{record['memory'] - record['baseline']:.0f} MB",
            )
        )
    return columns(rows)


def growth_table(results: Results) -> str:
    """Seconds at every setting of a dial, and the power with which they grow between the last two."""
    rows = [("dial", "setting", "condition", "plan", "sample", "memory")]
    for dial in DIALS:
        record = results.get("growth", dial)
        points = (record or {}).get("point", [])
        for point in points:
            cells = [seconds(point[stage]) for stage in ("condition", "plan", "sample")]
            rows.append((dial, f"{point['value']:,}", *cells, f"{point['memory']:.1f} MB"))
        if len(points) > 1:
            a, b = points[-2:]
            turned = math.log(b["value"] / a["value"])
            powers = [math.log(max(b[s], 1e-9) / max(a[s], 1e-9)) / turned for s in ("condition", "plan", "sample")]
            rows.append(("", "grows as power", *(f"{p:.2f}" for p in powers), ""))
        if record is not None and record["status"] != "ok":
            rows.append((dial, record["status"], record.get("error", f"after {record['limit']:.0f} s"), "", "", ""))
    return columns(rows)


def seconds(value: float) -> str:
    """A time with a unit that suits it."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
