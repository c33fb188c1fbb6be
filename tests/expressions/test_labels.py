"""Indexing by label: as far as the model's coords say where a label stands."""

import numpy as np
import pytest

import bayeskit as bk
from bayeskit.errors import ModelError


def shares():
    m = bk.Model(coords={"party": ["Bush", "Dukakis", "other"]})
    return m, m.latent("share", bk.Dirichlet([1, 1, 1]), dims="party")


def test_a_label_picks_its_element():
    _, share = shares()
    values = {"share": np.array([[0.5, 0.3, 0.2]])}
    assert share["Dukakis"].evaluate(values) == 0.3
    assert share[{"party": "other"}].evaluate(values) == 0.2
    assert share["Bush"].dims == ()


def test_unknown_labels_are_refused():
    _, share = shares()
    with pytest.raises(ModelError, match="The label 'Perot' of 'share' must be among those of 'party': Bush"):
        share["Perot"]
    m = bk.Model()
    with pytest.raises(ModelError, match="cannot be indexed by the label 'a': the labels of 'group' are not known"):
        m.latent("x", bk.Normal(0, 1), dims="group")["a"]
