"""Posteriors in files: the model as it was stated and the data as they were given, from which everything follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeskit._version import __version__
from bayeskit.errors import BayeskitError, DataError
from bayeskit.model.declaration import checked_dict, model_from_dict
from bayeskit.model.model import Model
from bayeskit.model.reading import Given, GivenData
from bayeskit.posterior.packing import Packer, digest, pack_tree, unpack, unpack_tree
from bayeskit.posterior.posterior import Posterior
from bayeskit.statistics.saving import described, restored
from bayeskit.statistics.storage import read, write

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["VERSION", "load", "load_draws", "save"]

VERSION = 1
Array = np.ndarray


def save(posterior: Posterior, path: str | Path, draws: xr.DataTree | None = None) -> None:
    """Write a posterior to a file, and with it a tree of draws; ``Posterior.save`` is this function."""
    packer = Packer()
    header: dict[str, Any] = {
        "kind": "posterior",
        "version": VERSION,
        "bayeskit": __version__,
        "model": checked_dict(posterior.model, _stated(posterior)),
        "batches": [_pack_batch(f"data:{n}", b, packer) for n, b in enumerate(posterior._binding.given)],
    }
    if draws is not None:
        header["draws"] = pack_tree(draws, packer)
    write(path, {**header, "digest": digest(header, packer.arrays)}, packer.arrays)


def load(path: str | Path) -> Posterior:
    """Return the posterior that a file holds: it answers, draws and is updated as the one that was saved.

    Parameters
    ----------
    path : str or Path
        A file that ``posterior.save`` wrote, ``.nc`` or ``.json``.

    Raises
    ------
    DataError
        Where the file holds something else, is damaged, or was written by a later version.
    FileNotFoundError
        Where there is none.

    Examples
    --------
    >>> import os, tempfile
    >>> import bayeskit as bk
    >>> m = bk.Model()
    >>> y = m.observed("y", bk.Binomial(10, m.latent("p", bk.Beta(1, 1))))
    >>> path = os.path.join(tempfile.mkdtemp(), "coin.json")
    >>> m.condition({"y": 7}).save(path)
    >>> posterior = bk.load(path)
    >>> posterior["p"], posterior.update({"y": 2})["p"]
    (Beta(8.0, 4.0), Beta(10.0, 12.0))
    """
    header, arrays = _read(path)

    def made() -> Posterior:
        model = model_from_dict(header["model"])
        posterior = None
        for batch in header["batches"]:  # one after the other, so that sums are added up in the same order
            posterior = Posterior(model, _unpack_batch(batch, arrays, model, path), before=posterior)
        if posterior is None:
            raise ValueError("no data, not even an empty batch")
        return posterior

    return _understood(path, made)


def load_draws(path: str | Path) -> xr.DataTree:
    """Return the draws that were saved along with a posterior.

    Raises
    ------
    DataError
        Where the file holds none, or as for `load`.
    FileNotFoundError
        Where there is no such file.
    """
    header, arrays = _read(path)
    if "draws" not in header:
        raise DataError(
            f"The file '{path}' must hold draws. Got a posterior alone. Save them with it, "
            "posterior.save(path, draws=tree), or draw: bk.load(path).sample()."
        )
    return _understood(path, lambda: unpack_tree(header["draws"], arrays))


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    header, arrays = read(path)
    if header.get("kind") != "posterior":
        raise DataError(f"The file '{path}' must hold a posterior. Got {header.get('kind', 'something else')!r}.")
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise DataError(
            f"The posterior in '{path}' must be of format version {VERSION} or earlier. Got {version!r}. "
            "Update bayeskit to read it."
        )
    if header.pop("digest", None) != digest(header, arrays):
        raise DataError(f"The file '{path}' must be as it was written. Got one that was changed since. Save it anew.")
    return header, arrays


def _understood[T](path: str | Path, make: Callable[[], T]) -> T:
    """Return what is made of a file; a file that was cut or changed by hand is told in one sentence."""
    try:
        return make()
    except BayeskitError:
        raise
    except Exception as error:
        raise DataError(
            f"The file '{path}' must be as it was written. Got one that cannot be understood "
            f"({type(error).__name__}: {error}). Save it anew."
        ) from error


def _stated(posterior: Posterior) -> set[str]:
    """Return the names of the statements that were there when data were bound: others may have been made since."""
    model = posterior.model
    kinds: tuple[Mapping[str, Any], ...] = (model.columns, model.random, model.derivations, model.terms)
    counts = posterior._binding.statements
    return {name for kind, count in zip(kinds, counts, strict=True) for name in list(kind)[:count]}


# ---- data -----------------------------------------------------------------------------------------------------------
def _pack_batch(at: str, batch: Mapping[str, Given], packer: Packer) -> dict[str, Any]:
    """Return a batch of data as what it is made of, by kind: rows, or statistics in their place."""
    if isinstance(batch, GivenData) and batch.statistics is not None:
        header, arrays = described(batch.statistics)
        held = {name: packer.pack(f"{at}/{name}", array) for name, array in arrays.items()}
        return {"statistics": {"header": header, "arrays": held}}
    return {"rows": {name: _pack_rows(f"{at}/{name}", given, packer) for name, given in batch.items()}}


def _unpack_batch(written: Mapping[str, Any], arrays: Mapping[str, Array], model: Model, path: str | Path) -> GivenData:
    ((kind, held),) = written.items()
    if kind == "statistics":
        own = {name: unpack(array, arrays) for name, array in held["arrays"].items()}
        return restored(held["header"], own, model, f"'{path}'").as_given(model)
    if kind != "rows":
        raise DataError(
            f"The data of a posterior must be of a kind that bayeskit knows. Got '{kind}'. Update bayeskit."
        )
    return GivenData({name: _unpack_rows(rows, arrays) for name, rows in held.items()})


def _pack_rows(at: str, given: Given, packer: Packer) -> dict[str, Any]:
    return {
        "dims": None if given.dims is None else list(given.dims),
        "values": packer.pack(at, given.values),
        "coords": {d: packer.pack(f"{at}:{d}", labels) for d, labels in given.coords.items()},
    }


def _unpack_rows(held: Mapping[str, Any], arrays: Mapping[str, Array]) -> Given:
    dims = held["dims"]
    coords = {d: unpack(labels, arrays) for d, labels in held["coords"].items()}
    return Given(unpack(held["values"], arrays), None if dims is None else tuple(dims), coords)
