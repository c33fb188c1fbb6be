"""Statistics in files: tables, labels and the text of the likelihood that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit.errors import DataError
from bayeskit.model.labels import Coords
from bayeskit.model.model import Model
from bayeskit.statistics.columns import Layout, layout_of
from bayeskit.statistics.known import Known
from bayeskit.statistics.storage import read, write
from bayeskit.statistics.sums import Sums
from bayeskit.statistics.tables import Table

if TYPE_CHECKING:
    from bayeskit.statistics.sufficient import SufficientStatistics

Array = np.ndarray
_KIND = "sufficient statistics"
_SUMS = ("first", "second", "first_error", "second_error")


def save(statistics: SufficientStatistics, path: str | Path) -> None:
    """Write statistics to a file."""
    write(path, *described(statistics))


def load(path: str | Path, model: Model) -> SufficientStatistics:
    """Read statistics from a file, for a model of the same likelihood."""
    header, arrays = read(path)
    if header.get("kind") != _KIND:
        raise DataError(
            f"The file '{path}' must hold sufficient statistics. Got {header.get('kind', 'another kind')!r}."
        )
    return restored(header, arrays, model, f"'{path}'")


def described(statistics: SufficientStatistics) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what statistics are in words and numbers that a file can hold, and their arrays by name."""
    known = statistics.known
    header: dict[str, Any] = {
        "kind": _KIND,
        "text": dict(known.text),
        "fixed": sorted(known.fixed),
        "into": dict(known.into),
        "dims": {n: list(dims) for n, (_, dims) in known.values.items()},
        "labels": {},
        "observed": {},
    }
    arrays: dict[str, Array] = {f"known/{n}": values for n, (values, _) in known.values.items()}
    for dim in statistics.labels:
        header["labels"][dim] = _saved_labels(dim, statistics.labels, arrays)
    for name, table in statistics.tables.items():
        header["observed"][name] = {
            "columns": _columns(table.layout),
            "shapes": {n: list(shape) for n, shape in table.shapes.items()},
        }
        arrays[f"{name}/keys"] = table.keys
        arrays |= {f"{name}/{part}": getattr(table.sums, part) for part in _SUMS}
    return header, arrays


def restored(header: Mapping[str, Any], arrays: Mapping[str, Array], model: Model, where: str) -> SufficientStatistics:
    """Return the statistics that were described, for a model of the same likelihood; ``where`` they were found."""
    from bayeskit.statistics.sufficient import SufficientStatistics, must_agree

    must_agree(model, header["text"], f"The statistics in {where}")
    labels = Coords()
    for dim, said in header["labels"].items():
        _load_labels(dim, said, arrays, labels)
    fixed = frozenset(header["fixed"])
    values = {n: (arrays[f"known/{n}"], tuple(dims)) for n, dims in header["dims"].items()}
    tables = {}
    for name, said in header["observed"].items():
        layout = layout_of(model, name, fixed)
        if _columns(layout) != said["columns"]:
            raise DataError(
                f"The statistics of '{name}' in {where} must have the columns {_columns(layout)}. Got "
                f"{said['columns']}, of another version of bayeskit. Summarize the data again."
            )
        shapes = {n: tuple(shape) for n, shape in said["shapes"].items()}
        sums = Sums(*(arrays[f"{name}/{part}"] for part in _SUMS))
        tables[name] = Table(layout, shapes, arrays[f"{name}/keys"], sums)
    return SufficientStatistics(model, labels, Known(header["text"], values, header["into"], fixed), tables)


def _columns(layout: Layout) -> list[str]:
    """Return what the columns of a layout are, one text each."""
    keys = [f"{c.name} {c.text}" for c in layout.keys]
    linear = [f"{c.name} {c.text}, summed" for c in layout.linear]
    return [*layout.plates, *keys, *linear, layout.kept]


def _saved_labels(dim: str, labels: Coords, arrays: dict[str, Array]) -> dict[str, Any]:
    """Return what the header says of a dim's labels, and put them among the arrays where these can hold them."""
    if labels.is_numbered(dim):
        return {"size": labels.size(dim)}
    own = labels[dim]
    if own.dtype.kind == "M":
        arrays[f"labels/{dim}"] = own.astype("datetime64[us]").astype(str)
        return {"type": "datetime64[us]"}
    if own.dtype.kind == "O":
        return {"list": own.tolist()}
    arrays[f"labels/{dim}"] = own.astype({"i": np.int64, "u": np.int64, "f": float}.get(own.dtype.kind, own.dtype))
    return {"type": "as it is"}


def _load_labels(dim: str, said: dict[str, Any], arrays: Mapping[str, Array], labels: Coords) -> None:
    if "size" in said:
        labels.number(dim, said["size"])
    elif "list" in said:
        labels[dim] = np.array(said["list"], dtype=object)
    else:
        own = arrays[f"labels/{dim}"]
        labels[dim] = own.astype(said["type"]) if said["type"].startswith("datetime64") else own
