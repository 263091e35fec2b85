"""Prefixes that wrappers leave in front of tensors' names are found, whole parts only."""

import pytest

from features.engine.prefixes import shared_prefixes, without_prefix


@pytest.mark.parametrize(
    ("names", "prefixes"),
    [
        (["W_enc", "b_enc"], [""]),
        (["_orig_mod.W_enc", "_orig_mod.b_enc"], ["", "_orig_mod."]),
        (["module._orig_mod.a.weight", "module._orig_mod.b"], ["", "module.", "module._orig_mod."]),
        (["encoder.weight", "encoder.bias", "bias"], [""]),
        (["model.a", "models.b"], [""]),
        (["sae.only.weight"], ["", "sae.", "sae.only."]),
        ([], [""]),
    ],
)
def test_prefixes_that_all_names_share_are_whole_parts(names, prefixes):
    assert shared_prefixes(names) == prefixes


def test_names_without_a_prefix_keep_their_tensors():
    assert without_prefix({"module.a": 1, "module.module.b": 2}, "module.") == {"a": 1, "module.b": 2}
