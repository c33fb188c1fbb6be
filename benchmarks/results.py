"""Where figures are kept: one JSON line a measurement, so that a run that was cut short can go on."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


class Results:
    """Figures by key, such as "warm/rats/pyjags"; what is written last holds."""

    def __init__(self, path: Path = FOLDER / "results.jsonl") -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.figures: dict[str, dict] = {}
        for line in lines:
            record = json.loads(line)
            self.figures[record.pop("key")] = record

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is to be measured again: a run that is cut short must not be mixed with the one before."""
        for key in keys:
            self.figures.pop(key, None)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(_line(key, record) for key, record in self.figures.items()))

    def put(self, key: str, record: dict) -> None:
        record["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.figures[key] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(_line(key, record))

    def get(self, *parts: str) -> dict | None:
        return self.figures.get("/".join(parts))

    def has(self, key: str) -> bool:
        """Whether a key need not be measured again: a failure is tried once more."""
        return self.figures.get(key, {"status": "failed"}).get("status") != "failed"


def _line(key: str, record: dict) -> str:
    return json.dumps({"key": key} | record) + "\n"
