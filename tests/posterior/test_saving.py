"""Saved posteriors: the loaded one says, draws, predicts and learns what the saved one does, to the last bit."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import bayeskit as bk
from bayeskit.errors import BayeskitError, DataError, RefusedError, SamplingWarning
from bayeskit.posterior.saving import VERSION
from tests.posterior.saved_models import MODELS, mixture_with_gaps

pytestmark = pytest.mark.filterwarnings(f"ignore::{SamplingWarning.__module__}.{SamplingWarning.__name__}")
FEW = {"draws": 15, "chains": 2, "seed": 5}


def assert_same_tree(one, other):
    assert list(one.groups) == list(other.groups)
    for group in one.groups:
        xr.testing.assert_identical(
            one[group].to_dataset().drop_attrs(deep=False), other[group].to_dataset().drop_attrs(deep=False)
        )


def evidence(posterior):
    try:
        found = posterior.log_evidence()
    except BayeskitError as error:
        return str(error)
    return float(found), found.se


def drawn(posterior):
    return posterior.sample(tune=15, include=["log_likelihood", "posterior_predictive"], **FEW)


def assert_alike(one, other, new):
    """All that two posteriors answer is the same."""
    assert one is not other
    assert repr(one.model) == repr(other.model)
    assert one.model.to_dict() == other.model.to_dict()
    assert one.explain() == other.explain()
    assert evidence(one) == evidence(other)
    assert_same_tree(drawn(one), drawn(other))
    if new is not None:
        assert_same_tree(*(p.predict(new).sample(**FEW) for p in (one, other)))


@pytest.fixture(params=[".nc", ".json"])
def ending(request):
    return request.param


@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_is_what_was_saved(tmp_path, name):
    posterior, more, new = MODELS[name]()
    path = tmp_path / f"posterior{'.nc' if sum(map(ord, name)) % 2 else '.json'}"
    posterior.save(path)
    loaded = bk.load(path)
    assert_alike(posterior, loaded, new)
    if more is None:
        return
    updated = posterior.update(more)
    updated.save(path)
    again = bk.load(path)
    assert_alike(updated, again, new)
    assert_same_tree(drawn(updated), drawn(loaded.update(more)))


def test_a_file_says_the_same_in_both_formats(tmp_path):
    posterior, _, _ = mixture_with_gaps()
    held = []
    for ending in (".nc", ".json"):
        posterior.save(tmp_path / f"p{ending}")
        bk.load(tmp_path / f"p{ending}").save(tmp_path / f"p{ending}.json")
        held.append(json.loads((tmp_path / f"p{ending}.json").read_text()))
    assert held[0] == held[1] == json.loads((tmp_path / "p.json").read_text())


def test_a_fresh_process_draws_the_same(tmp_path):
    posterior, _, _ = mixture_with_gaps()
    posterior.save(tmp_path / "p.nc")
    code = (
        "import sys, json, bayeskit as bk, warnings; warnings.simplefilter('ignore', bk.errors.SamplingWarning)\n"
        "p = bk.load(sys.argv[1])\n"
        f"group = p.sample(tune=15, **{FEW!r})['posterior']\n"
        "print(json.dumps([p.explain(), {n: group[n].values.tolist() for n in group.data_vars}]))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "p.nc"], capture_output=True, text=True, check=True)
    explained, draws = json.loads(run.stdout)
    assert explained == posterior.explain()
    own = posterior.sample(tune=15, **FEW)["posterior"]
    assert draws == {n: own[n].values.tolist() for n in own.data_vars}


def test_decisions_are_the_same(tmp_path):
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.json")

    def decision(posterior):
        return bk.decide(posterior, utility=lambda draws: draws["p"] * xr.DataArray([1.0, 0.7], dims="arm"), seed=1)

    assert repr(decision(bk.load(tmp_path / "p.json"))) == repr(decision(posterior))


# ---- draws ----------------------------------------------------------------------------------------------------------
def test_draws_come_back_whole(tmp_path, ending):
    posterior, _, _ = MODELS["days"]()
    tree = posterior.sample(draws=10, chains=2, seed=1, include=["log_likelihood", "prior"])
    tree["posterior"].attrs["note"] = ["a", "b"]
    tree["posterior"].attrs["worst"] = np.inf
    posterior.save(tmp_path / f"p{ending}", draws=tree)
    found = bk.load_draws(tmp_path / f"p{ending}")
    xr.testing.assert_identical(found, tree)
    assert_same_tree(drawn(bk.load(tmp_path / f"p{ending}")), drawn(posterior))
    assert (found["posterior"].attrs, found.attrs) == (tree["posterior"].attrs, tree.attrs)
    summary = posterior.summary(found)
    assert summary.equals(posterior.summary(tree))


def test_arrays_of_every_type_come_back(tmp_path, ending):
    values = {
        "float64": np.array([0.1, -0.0, 5e-324, np.nan, np.inf]),
        "float32": np.float32([1 / 3, 2]),
        "int64": np.array([2**62 + 1, -(2**63)]),
        "int8": np.int8([-128, 127]),
        "uint64": np.array([2**64 - 1, 0], dtype=np.uint64),
        "bool": np.array([[True], [False]]),
        "text": np.array(["", "Zürich", "日本"]),
        "long_text": np.array(["a"], dtype="U20"),
        "nanoseconds": np.array(["2024-02-29T12:00:00.123456789", "NaT"], dtype="datetime64[ns]"),
        "seconds": np.array(["2024-02-29T12:00:00", "1600-01-01"], dtype="datetime64[s]"),
        "delta": np.array([1, -5], dtype="timedelta64[ns]"),
        "mixed": np.array(["a", 1, 1.5, None, True], dtype=object),
        "big_endian": np.array([1.5, 2.5], dtype=">f8"),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "number": np.array(1 / 3),
        "empty": np.zeros((3, 0, 2)),
        "range": np.arange(5),
    }
    dataset = xr.Dataset({n: (tuple(f"{n}_{i}" for i in range(v.ndim)), v) for n, v in values.items()})
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / f"p{ending}", draws=xr.DataTree.from_dict({"/": dataset, "/deep/er": dataset[["bool"]]}))
    found = bk.load_draws(tmp_path / f"p{ending}")
    assert list(found.groups) == ["/", "/deep", "/deep/er"]
    for name, array in values.items():
        held = found[name].values
        assert (held.dtype, held.shape) == (dataset[name].dtype.newbyteorder("="), array.shape), name
        if array.dtype.kind in "fmM":
            kind = f"i{array.dtype.itemsize}"
            bits = np.ascontiguousarray(array.astype(held.dtype)).view(kind)
            assert np.array_equal(np.ascontiguousarray(held).view(kind), bits), name
        else:
            assert [(type(v), v) for v in held.ravel().tolist()] == [(type(v), v) for v in array.ravel().tolist()], name


def test_draws_that_are_none_are_refused(tmp_path):
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.json")
    with pytest.raises(DataError, match=r"must hold draws. Got a posterior alone"):
        bk.load_draws(tmp_path / "p.json")
    with pytest.raises(DataError, match=r"must be an xarray\.DataTree\. Got dict"):
        posterior.save(tmp_path / "q.json", draws={"p": 1})
    assert not (tmp_path / "q.json").exists()


# ---- what is saved ------------------------------------------------------------------------------------------------
def test_statements_made_after_the_data_are_not_the_posterior_s(tmp_path):
    m = bk.Model()
    p = m.latent("p", bk.Beta(1, 1))
    m.observed("y", bk.Bernoulli(p), dims="obs")
    posterior = m.condition({"y": [1, 0]})
    m.derived("odds", p / (1 - p))
    m.latent("q", bk.Beta(1, 1))
    posterior.save(tmp_path / "p.json")
    assert str(bk.load(tmp_path / "p.json").model) == "p ~ Beta(1, 1)\ny[obs] ~ Bernoulli(p)"


def test_a_refused_posterior_leaves_no_file(tmp_path):
    m = bk.Model()
    x = m.latent("x", bk.Normal(0, 1))
    m.derived("shifted", np.frompyfunc(lambda v: v + 1, 1, 1)(x))
    with pytest.raises(RefusedError, match=r"must be one of NumPy or of scipy\.special to be saved"):
        m.condition({}).save(tmp_path / "p.json")
    posterior, _, _ = MODELS["arms"]()
    for path in ("p", "p.pkl", "p.h5"):
        with pytest.raises(DataError, match=r"must end in .nc \(netCDF\) or .json"):
            posterior.save(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_where_writing_fails(tmp_path):
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.nc")
    before = (tmp_path / "p.nc").read_bytes()
    m = bk.Model()
    m.observed("y", bk.Normal(m.latent("level", bk.Normal(0, 1), dims="g")[m.index("g", dims="obs")], 1), dims="obs")
    impossible = m.condition({"g": np.array(["a\0b", "c"]), "y": [1.0, 2.0]})  # a text that netCDF has no way to hold
    with pytest.raises(DataError, match=r"Save it as \.json"):
        impossible.save(tmp_path / "p.nc")
    assert (tmp_path / "p.nc").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]
    impossible.save(tmp_path / "p.json")
    assert bk.load(tmp_path / "p.json").explain() == impossible.explain()


# ---- bad files ----------------------------------------------------------------------------------------------------
def changed(path, change):
    whole = json.loads(path.read_text())
    change(whole["header"])
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(kind="statistics"), "must hold a posterior. Got 'statistics'"),
        (lambda h: h.pop("kind"), "must hold a posterior. Got 'something else'"),
        (lambda h: h.update(version=VERSION + 1), f"of format version {VERSION} or earlier. Got {VERSION + 1}"),
        (lambda h: h.pop("version"), "or earlier. Got None"),
        (lambda h: h["model"]["statements"].pop(), "changed since"),
        (lambda h: h["batches"].clear(), "changed since"),
        (lambda h: h.pop("digest"), "changed since"),
    ],
)
def test_files_that_were_changed_are_refused(tmp_path, change, message):
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.json")
    with pytest.raises(DataError, match=message):
        bk.load(changed(tmp_path / "p.json", change))


def test_a_number_that_was_changed_is_noticed(tmp_path):
    posterior, _, _ = MODELS["indexed_regression"]()
    posterior.save(tmp_path / "p.json")
    text = (tmp_path / "p.json").read_text()
    digit = repr(float(posterior._binding.given[0]["y"].values[0]))
    assert text.count(digit) == 1
    (tmp_path / "p.json").write_text(text.replace(digit, "0.5"))
    with pytest.raises(DataError, match="changed since"):
        bk.load(tmp_path / "p.json")


def test_files_that_hold_what_no_posterior_has_are_refused(tmp_path):
    """Files with a true digest that this version did not write: told in a sentence, whatever they lack."""
    from bayeskit.posterior.packing import digest
    from bayeskit.statistics.storage import read, write

    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.json")
    header, arrays = read(tmp_path / "p.json")
    header.pop("digest")
    for part in ({"batches": []}, {"batches": None}, {"model": 3}, {"batches": [{"rows": {"y": {}}}]}):
        other = {**header, **part}
        write(tmp_path / "q.json", {**other, "digest": digest(other, arrays)}, arrays)
        with pytest.raises(DataError, match=r"'.*q.json' must be as it was written|A model to be read"):
            bk.load(tmp_path / "q.json")


def test_data_of_another_kind_are_refused(tmp_path):
    """Data that later versions may hold are not read as if they were rows."""
    from bayeskit.posterior.packing import digest
    from bayeskit.statistics.storage import read, write

    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.json")
    header, arrays = read(tmp_path / "p.json")
    header = {n: v for n, v in header.items() if n != "digest"} | {"batches": [{"pictures": {}}]}
    write(tmp_path / "q.json", {**header, "digest": digest(header, arrays)}, arrays)
    with pytest.raises(DataError, match=r"a kind that bayeskit knows\. Got 'pictures'"):
        bk.load(tmp_path / "q.json")


def test_no_file_and_no_package(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*absent.json'"):
        bk.load(tmp_path / "absent.json")
    posterior, _, _ = MODELS["arms"]()
    posterior.save(tmp_path / "p.nc")
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    for use in (lambda: posterior.save(tmp_path / "q.nc"), lambda: bk.load(tmp_path / "p.nc")):
        with pytest.raises(DataError, match=r"Install 'bayeskit\[io\]', or use .json"):
            use()
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


@pytest.mark.parametrize("ending", ["nc", "json"])
def test_statistics_in_the_place_of_rows(tmp_path, ending):
    """A posterior of statistics goes on from its file: it is updated, discounted and taken from as the saved one."""
    m = bk.Model(coords={"arm": ["A", "B"]})
    n, arm = m.data("n", dims="arm"), m.index("arm", dims="visit")
    p, rate = m.latent("p", bk.Beta(1, 1), dims="arm"), m.latent("rate", bk.Gamma(2, 1), dims="arm")
    m.observed("y", bk.Binomial(n, p), dims="arm")
    m.observed("calls", bk.Poisson(rate[arm]), dims="visit")
    days = [
        {"n": [100, 110], "y": [7, 12], "arm": ["A", "B", "B"], "calls": [2, 0, 5]},
        {"n": [90, 80], "y": [5, 9], "arm": ["B", "A"], "calls": [1, 3]},
    ]
    first, second = (m.summarize(day) for day in days)
    posterior = m.condition(first).update(second)
    path = tmp_path / f"week.{ending}"
    posterior.save(path)
    loaded = bk.load(path)
    assert repr(loaded) == repr(posterior)
    assert float(loaded.log_evidence()) == float(posterior.log_evidence())
    for one, other in ((loaded, posterior), (loaded.remove(days[1]), posterior.remove(second))):
        for name in ("p", "rate"):
            np.testing.assert_array_equal(one[name].mean(), other[name].mean())
    np.testing.assert_array_equal(loaded.discount(0.5)["p"].sd(), posterior.discount(0.5)["p"].sd())
    np.testing.assert_array_equal(loaded.update(days[0])["rate"].sd(), posterior.update(days[0])["rate"].sd())
