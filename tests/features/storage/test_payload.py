"""Does what goes into a payload come out of it, bit for bit, small and fast?"""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from features.engine.results import no_correlates
from features.storage.payload import Payload, pack, unpack
from tests import made_up

DATA = Path(__file__).resolve().parents[2] / "data" / "payloads"


def assert_same(found, expected):
    """Field by field, array by array: same type, same bits, NaN included."""
    if is_dataclass(expected):
        for part in fields(found):
            assert_same(getattr(found, part.name), getattr(expected, part.name))
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
    else:
        assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("index", range(5))
def test_a_feature_comes_back_bit_for_bit(index):
    feature = made_up.feature(index, rows=30_000, length=128)
    assert_same(unpack(pack(feature)), feature)


def test_a_dead_feature_comes_back_without_a_histogram():
    feature = made_up.dead_feature()
    assert unpack(pack(feature)).activation_histogram is None
    assert_same(unpack(pack(feature)), feature)


def test_large_numbers_and_negative_ones_are_kept():
    feature = made_up.feature()
    shown = replace(feature.shown, rows=feature.shown.rows + 2**40)
    counts = feature.logit_histogram.counts + 2**33
    tokens = -feature.positive_logits.tokens
    feature = replace(
        feature,
        shown=shown,
        logit_histogram=replace(feature.logit_histogram, counts=counts),
        positive_logits=replace(feature.positive_logits, tokens=tokens),
    )
    assert_same(unpack(pack(feature)), feature)


def test_examples_that_are_not_among_the_shown_tokens_are_kept_too():
    feature = made_up.feature()
    apart = replace(feature.top, rows=feature.top.rows + 1000)
    weaker = replace(feature.top, activations=feature.top.activations / 2)
    for top in (apart, weaker):
        assert_same(unpack(pack(replace(feature, top=top))), replace(feature, top=top))


def test_what_was_unpacked_can_be_packed_again():
    packed = pack(made_up.feature())
    assert pack(unpack(packed)) == packed


def test_a_payload_has_every_figure_that_has_no_column_of_its_own():
    columns = {"index", "tokens", "count", "maximum", "mean", "quantiles"}
    kept = {part.name for part in fields(Payload)}
    assert kept | columns == {part.name for part in fields(made_up.feature())}


def test_a_database_may_hand_over_a_memoryview():
    feature = made_up.feature()
    assert_same(unpack(memoryview(pack(feature))), feature)


def test_another_layout_is_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"layout 9; .* reads layouts 1 to 2\. Recompute"):
        unpack(b"\x09" + pack(made_up.feature())[1:])


def test_what_an_earlier_version_stored_is_still_read():
    """Packed in layout 1, which knew no encoder B."""
    expected = replace(made_up.feature(1), correlated_b=no_correlates())
    assert_same(unpack((DATA / "layout_1.bin").read_bytes()), expected)


def test_a_feature_without_encoder_b_comes_back_without_one():
    feature = replace(made_up.feature(), correlated_b=no_correlates())
    assert_same(unpack(pack(feature)), feature)


def test_a_feature_with_100_examples_and_300_shown_tokens_takes_less_than_7_kilobytes():
    packed = [len(pack(made_up.feature(i, rows=30_000, length=128, chosen=20))) for i in range(20)]
    assert np.mean(packed) < 7_000
