"""Measurements in processes of their own: start one, wait as long as allowed, read what it said, judge its draws."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.draws import moments, worst_ess
from benchmarks.worker import MARK

ROOT = Path(__file__).parent.parent


def run_child(python: str, task: dict, limit: float) -> dict:
    """Run a task of `worker.py`; return its figures, the seconds from start to end, and how it ended.

    `status` is "ok", "over" (the limit was reached; figures sent before are kept) or "failed" (then `error` says how).
    """
    with tempfile.TemporaryDirectory(prefix="bayeskit-benchmark-") as folder:
        out = Path(folder) / "draws.npz"
        with open(Path(folder) / "lines", "w+") as lines, open(Path(folder) / "errors", "w+") as errors:
            load = os.getloadavg()[0]
            started = time.monotonic()
            child = subprocess.Popen(
                [python, "-m", "benchmarks.worker", json.dumps(task | {"out": str(out)})],
                cwd=ROOT,
                stdout=lines,
                stderr=errors,
            )
            try:
                child.wait(timeout=limit)
                over = False
            except subprocess.TimeoutExpired:
                over = True
                child.kill()
                child.wait()
            lines.seek(0)
            errors.seek(0)
            said = [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]
            figures = gather(said)
            complaint = errors.read().strip().splitlines()
        figures |= {"load": round(load, 2), "started": started}
        done = figures.pop("done", False)
        figures["status"] = "ok" if done else "over" if over else "failed"
        if figures["status"] == "failed":
            figures["error"] = complaint[-1][:300] if complaint else f"exit status {child.returncode}"
        if out.exists():
            with np.load(out) as file:
                arrays = {name: file[name] for name in file.files}
            figures |= {"ess": worst_ess(arrays), "moments": moments(arrays)}
    return figures


def gather(said: list[dict]) -> dict:
    """Join the lines of a child; what was said several times becomes a list, but for the memory: the last."""
    figures: dict = {}
    for name, value in ((n, v) for line in said for n, v in line.items()):
        if name in ("seconds", "point"):
            figures.setdefault(name, []).append(value)
        else:
            figures[name] = value
    return figures


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """Return the versions of those packages that a Python has."""
    code = (
        "import json, sys; from importlib.metadata import version, PackageNotFoundError\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    try:
        answer = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return json.loads(answer.stdout)
