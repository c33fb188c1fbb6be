"""Ratios and tables from the figures: what is printed after a run, and the table of the documentation."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.draws import disagreement
from benchmarks.problem import PROBLEMS
from benchmarks.results import Results
from benchmarks.systems import GRADIENT, SYSTEMS
from benchmarks.targets import (
    CONDITION,
    FASTER_THAN_JAGS,
    FRESH,
    NO_GROWTH,
    REGRESSIONS,
    REGRESSIONS_MEMORY,
    WARM,
)

Row = Sequence[str]
PEERS = tuple(system for system in SYSTEMS if system != "bayeskit")
JAGS = ("pyjags", "pyjags-glm")


# ---- ratios ---------------------------------------------------------------------------------------------------------
def best_rate(results: Results, problem: str) -> tuple[str, float] | None:
    """Return the peer with the most effective draws per second when warm."""
    rates = {s: r["rate"] for s in PEERS if (r := results.get("warm", problem, s)) and r["status"] == "ok"}
    return max(rates.items(), key=lambda item: item[1]) if rates else None


def best_total(results: Results, problem: str, systems: Iterable[str]) -> tuple[str, float, bool] | None:
    """Return the fastest from a fresh process, its seconds, and whether these are only a lower bound."""
    totals, bounds = {}, {}
    for system in systems:
        record = results.get("fresh", problem, system)
        if record and record["status"] == "ok":
            totals[system] = record["total"]
        elif record and record["status"] == "over":
            bounds[system] = record["limit"]
    if totals:
        return (*min(totals.items(), key=lambda item: item[1]), False)
    return (*min(bounds.items(), key=lambda item: item[1]), True) if bounds else None


def verdict(ratio: float, wanted: float, *, bound: bool = False) -> str:
    return "met" if ratio >= wanted else "not known" if bound else "NOT met"


def warm_rows(results: Results) -> list[Row]:
    rows: list[Row] = [("problem", "bayeskit ESS/s", "best peer ESS/s", "ratio", "aim", "")]
    for name in PROBLEMS:
        ours, best = results.get("warm", name, "bayeskit"), best_rate(results, name)
        if ours is None or best is None:
            continue
        if ours["status"] != "ok":
            rows.append((name, ours["status"], f"{best[1]:,.0f} {best[0]}", "", aim(WARM.get(name)), ""))
            continue
        ratio, wanted = ours["rate"] / best[1], WARM.get(name)
        judged = verdict(ratio, wanted) if wanted else ""
        rows.append((name, f"{ours['rate']:,.0f}", f"{best[1]:,.0f} {best[0]}", times(ratio), aim(wanted), judged))
    return rows


def fresh_rows(results: Results) -> list[Row]:
    rows: list[Row] = [("problem", "bayeskit s", "pyjags s", "ratio", "best gradient s", "ratio", "aim", "")]
    for name in PROBLEMS:
        ours = results.get("fresh", name, "bayeskit")
        if ours is None or ours["status"] != "ok":
            if ours is not None:
                rows.append((name, ours["status"], *[""] * 6))
            continue
        cells, judged = [], []
        for group, wanted in ((JAGS, 1.0 if name in FASTER_THAN_JAGS else None), (GRADIENT, FRESH.get(name))):
            best = best_total(results, name, group)
            if best is None:
                cells += ["", ""]
                continue
            system, total, bound = best
            more = ">" if bound else ""
            cells += [f"{more}{total:.3g} {system}", f"{more}{times(total / ours['total'])}"]
            judged += [verdict(total / ours["total"], wanted, bound=bound)] if wanted else []
        worst = next((v for v in ("NOT met", "not known", "met") if v in judged), "")
        rows.append((name, f"{ours['total']:.3g}", *cells, aim(FRESH.get(name)), worst))
    return rows


def single_rows(results: Results) -> list[Row]:
    """What is measured against NumPy or the clock: ten million rows, ten thousand regressions."""
    rows: list[Row] = [("measure", "figure", "aim", "")]
    for kind in ("normal", "bernoulli", "categorical", "multinomial"):
        record = results.get("rows", kind)
        if record is None:
            continue
        size = f"{record['task']['rows']:,} numbers, {kind}"
        if "condition" in record:
            ratio = record["condition"] / record["numpy"]
            text = f"{ratio:.2f} x one NumPy pass ({record['condition'] * 1e3:.3g} ms, {record['memory']:.0f} MB)"
            rows.append((f"condition, {size}", text, f"{CONDITION:g} x", verdict(CONDITION, ratio)))
        if "draws_many" in record:
            ratio = record["draws_many"] / record["draws_few"]
            text = f"{ratio:.2f} x those after 10,000 ({record['draws_many'] * 1e3:.3g} ms)"
            rows.append((f"draws, {size}", text, "no growth", verdict(NO_GROWTH, ratio)))
        if record["status"] != "ok":
            rows.append((size, f"{record['status']}: {record.get('error', '')}", "", "NOT met"))
    for prior, wanted in REGRESSIONS.items():
        record = results.get("regressions", prior)
        if record is None:
            continue
        label = f"{record['task']['groups']:,} regressions, {prior} prior"
        if "memory" not in record:
            why = record.get("refused", record.get("error", record["status"]))
            rows.append((label, why[:60], f"{wanted:g} s", "NOT met"))
            continue
        slowest = max(record["seconds"][1:])
        fits = slowest <= wanted and record["memory"] <= REGRESSIONS_MEMORY
        text = f"{slowest:.2g} s, {record['memory']:.0f} MB above the data"
        rows.append((label, text, f"{wanted:g} s, {REGRESSIONS_MEMORY:g} MB", "met" if fits else "NOT met"))
    return rows


def all_rows(results: Results, measure: str) -> list[Row]:
    """Every system's figure: effective draws per second when warm, or seconds from a fresh process."""
    used = [s for s in SYSTEMS if any(results.get(measure, p, s) for p in PROBLEMS)]
    rows: list[Row] = [("problem", *used)]
    for name in PROBLEMS:
        records = [results.get(measure, name, s) for s in used]
        if any(records):
            rows.append((name, *(cell(record, measure) for record in records)))
    return rows


def cell(record: dict | None, measure: str) -> str:
    if record is None:
        return "–"
    if record["status"] == "failed":
        return "failed"
    if record["status"] == "over":
        return f">{record['limit']:.0f} s"
    return f"{record['rate']:,.0f}" if measure == "warm" else f"{record['total']:.3g}"


def disagreements(results: Results) -> list[str]:
    """Say where medians differ by more than five Monte Carlo errors: these are not draws of one posterior."""
    found = []
    for name in PROBLEMS:
        for measure in ("warm", "fresh"):
            ours = results.get(measure, name, "bayeskit")
            for system in PEERS:
                theirs = results.get(measure, name, system)
                if not (ours and theirs and ours.get("ess") and theirs.get("ess")):
                    continue
                sds = disagreement(ours["moments"], theirs["moments"])
                errors = sds / (
                    1.25 * math.sqrt(1 / ours["ess"] + 1 / theirs["ess"])
                )  # of a median: 1.25 sd / sqrt(ESS)
                if errors > 5:
                    by = f"{sds:.2g} sd, {errors:.1f} Monte Carlo errors"
                    found.append(f"On {name} ({measure}), {system} and bayeskit do not agree: medians differ by {by}.")
    return found


# ---- text -----------------------------------------------------------------------------------------------------------
def aim(wanted: float | None) -> str:
    return "" if wanted is None else f"{wanted:g} x"


def times(ratio: float) -> str:
    return f"{ratio:.3g} x"


def columns(rows: list[Row]) -> str:
    """Rows as aligned text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def tables(results: Results) -> list[tuple[str, list[Row]]]:
    """Return title and rows of every table that has figures."""
    found = [
        ("Effective draws per second when warm, against the best peer", warm_rows(results)),
        ("Fresh process to 4,000 effective draws", fresh_rows(results)),
        ("Against NumPy and the clock", single_rows(results)),
        ("Every system, warm: effective draws per second", all_rows(results, "warm")),
        ("Every system, from a fresh process: seconds to 4,000 effective draws", all_rows(results, "fresh")),
    ]
    return [(title, rows) for title, rows in found if len(rows) > 1]


def remarks(results: Results) -> list[str]:
    """Return what the tables do not say: what was not there, what failed and why, what drew from something else."""
    missing = (results.get("about") or {}).get("missing", [])
    failed = [
        f"{system} failed on {name} ({measure}): {record.get('error', '?')}"
        for measure in ("warm", "fresh")
        for name in PROBLEMS
        for system in SYSTEMS
        if (record := results.get(measure, name, system)) and record["status"] == "failed"
    ]
    return [
        *(f"{system} could not be installed and is left out." for system in missing),
        *failed,
        *disagreements(results),
    ]


def summary(results: Results) -> str:
    text = [f"\n{title}\n{columns(rows)}" for title, rows in tables(results)]
    return "\n".join([*text, "", *remarks(results)])


def write_page(results: Results, path: Path) -> None:
    """Write the tables for the documentation, and where and with what they were measured."""
    found = tables(results)
    about = results.get("about") or {}
    with_what = ", ".join(f"{name} {number}" for name, number in sorted(about.get("versions", {}).items()))
    day, cores, python = (about.get(name, "?") for name in ("day", "cores", "python"))
    where = f"Measured on {day}: {cores} cores, Python {python}, {with_what}." if found else "Not measured yet."
    parts = [where, *(f"## {title}\n\n{markdown(rows)}" for title, rows in found)]
    parts += ["\n".join(f"- {remark}" for remark in remarks(results))] if found else []
    path.write_text("\n\n".join(parts) + "\n")
