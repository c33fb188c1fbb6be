"""Files of arrays: what is read is what was written, to the last bit, and nothing else is read."""

import json
import sys

import numpy as np
import pytest

from bayeskit.errors import DataError
from bayeskit.statistics.storage import VERSION, read, write

ARRAYS = {
    "plain": np.array([0.1, -0.0, 5e-324, 1.7976931348623157e308]),
    "not/finite or ümlaut": np.array([[np.nan, np.inf], [-np.inf, 1.0]]),
    "count": np.array([2**62 + 1, -(2**63)]),
    "flag": np.array([[True], [False]]),
    "label": np.array(["", "Zürich", "a b", 'quote " \\', "日本"]),
    "table": np.array([["a", "bc"], ["d", ""]]),
    "alone": np.array(1 / 3),
    "word": np.array("word"),
    "none": np.zeros((3, 0, 2)),
    "no text": np.zeros((0,), dtype=str),
}


@pytest.mark.parametrize("ending", [".nc", ".json"])
def test_round_trip(tmp_path, ending):
    path = tmp_path / f"file{ending}"
    header = {"text": "a ~ b\n", "list": [1, 2.5, None, True], "deep": {"more": "x" * 200_000}}
    write(path, {"old": 1}, {})
    write(path, header, ARRAYS)
    found, arrays = read(path)
    assert found == header
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype.kind == array.dtype.kind
        assert arrays[name].shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_array_equal(arrays[name], array)
            assert (np.signbit(arrays[name]) == np.signbit(array)).all()
        else:
            assert arrays[name].tolist() == array.tolist()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing temporary stays


def test_what_is_not_ours_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must end in .nc \(netCDF\) or .json"):
        write(tmp_path / "file.pkl", {}, {})
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.json")
    for name, text in (("a.json", "{}"), ("b.json", "[1]"), ("c.json", "x"), ("d.nc", "x"), ("e.json", '{"a": 1}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="one that bayeskit wrote"):
            read(tmp_path / name)
    (tmp_path / "f.json").write_text(json.dumps({"format": "bayeskit", "version": VERSION + 1, "header": {}}))
    with pytest.raises(DataError, match=f"Got version {VERSION + 1}"):
        read(tmp_path / "f.json")


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    for ending in (".nc", ".json"):
        path = tmp_path / f"cut{ending}"
        write(path, {}, ARRAYS)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(DataError, match="whole"):
            read(path)


@pytest.mark.parametrize("array", [np.zeros(2, np.float32), np.zeros(2, complex), np.array([object()])])
def test_other_types_are_refused(tmp_path, array):
    with pytest.raises(DataError, match="The array 'x' must be of float64, int64, bool or text"):
        write(tmp_path / "x.json", {}, {"x": array})
    assert list(tmp_path.iterdir()) == []


def test_text_that_netcdf_cannot_hold(tmp_path):
    text = np.array(["a\0b"])
    with pytest.raises(DataError, match=r"Save it as \.json"):
        write(tmp_path / "x.nc", {}, {"x": text})
    write(tmp_path / "x.json", {}, {"x": text})
    assert read(tmp_path / "x.json")[1]["x"].tolist() == text.tolist()


def test_files_have_the_rights_of_new_files(tmp_path):
    (tmp_path / "plain.json").write_text("{}")
    write(tmp_path / "sums.json", {}, {"x": np.zeros(2)})
    assert (tmp_path / "sums.json").stat().st_mode == (tmp_path / "plain.json").stat().st_mode


def test_a_missing_package_is_told_when_reading(tmp_path, monkeypatch):
    write(tmp_path / "sums.nc", {}, {"x": np.zeros(2)})
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(DataError, match=r"Install 'bayeskit\[io\]'"):
        read(tmp_path / "sums.nc")
