"""Does what goes into a payload come out of it, bit for bit, small and fast?"""

import zlib
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from features.engine.results import Activity, FeatureStatistics, Float32, ShownRows, no_correlates
from features.storage.payload import COLUMNS, Schema, pack, unpack, unpack_part
from tests import made_up

DATA = Path(__file__).resolve().parents[2] / "data" / "payloads"


def columns_of(feature):
    """What stands beside the payload."""
    values = {name: feature for name in COLUMNS}
    for name in COLUMNS:
        for part in name.split("."):
            values[name] = getattr(values[name], part)
    return values


def again(feature, packed=None):
    """The feature after it was packed, or what was packed before with this feature's columns."""
    return unpack(packed or pack(feature), columns_of(feature))


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
    assert_same(again(feature), feature)


def test_a_dead_feature_comes_back_without_a_histogram():
    feature = made_up.dead_feature()
    assert again(feature).activity.histogram is None
    assert_same(again(feature), feature)


def test_large_numbers_and_negative_ones_are_kept():
    feature = made_up.feature()
    shown = replace(feature.shown, rows=feature.shown.rows + 2**40)
    counts = feature.logits.histogram.counts + 2**33
    tokens = -feature.logits.positive.tokens
    logits = replace(
        feature.logits,
        histogram=replace(feature.logits.histogram, counts=counts),
        positive=replace(feature.logits.positive, tokens=tokens),
    )
    feature = replace(feature, shown=shown, logits=logits)
    assert_same(again(feature), feature)


def test_examples_that_are_not_among_the_shown_tokens_are_kept_too():
    feature = made_up.feature()
    apart = replace(feature.examples.top, rows=feature.examples.top.rows + 1000)
    weaker = replace(feature.examples.top, activations=feature.examples.top.activations / 2)
    for top in (apart, weaker):
        changed = replace(feature, examples=replace(feature.examples, top=top))
        assert_same(again(changed), changed)


def test_what_was_unpacked_can_be_packed_again():
    feature = made_up.feature()
    assert pack(again(feature)) == pack(feature)


@pytest.mark.parametrize("name", ["examples", "relatives", "logits", "shown"])
def test_one_part_can_be_had_alone(name):
    feature = made_up.feature()
    assert_same(unpack_part(pack(feature), name), getattr(feature, name))


def test_a_database_may_hand_over_a_memoryview():
    feature = made_up.feature()
    assert_same(again(feature, memoryview(pack(feature))), feature)


@pytest.mark.parametrize("damaged", [lambda whole: whole[:-9], lambda whole: whole[:40] + b"x" + whole[41:]])
def test_what_is_damaged_is_refused_with_a_way_out(damaged):
    with pytest.raises(ValueError, match="What was stored is damaged .*Recompute"):
        unpack_part(damaged(pack(made_up.feature())), "relatives")


def test_another_layout_is_refused_with_a_way_out():
    feature = made_up.feature()
    with pytest.raises(ValueError, match=r"layout 9; .* reads layouts 1 to 3\. Recompute"):
        again(feature, b"\x09" + pack(feature)[1:])


def test_what_an_earlier_version_stored_is_still_read():
    """Packed in layout 1, which knew no encoder B."""
    feature = made_up.feature(1)
    expected = replace(feature, relatives=replace(feature.relatives, correlated_b=no_correlates()))
    assert_same(again(feature, (DATA / "layout_1.bin").read_bytes()), expected)


def test_what_this_version_stores_an_earlier_one_can_read():
    """Packed in layout 2, by a version whose records were others: not a byte has changed since."""
    packed, before = pack(made_up.feature(1)), (DATA / "layout_2.bin").read_bytes()
    assert (packed[0], zlib.decompress(packed[1:])) == (before[0], zlib.decompress(before[1:]))


def test_a_feature_without_encoder_b_comes_back_without_one():
    feature = made_up.feature()
    feature = replace(feature, relatives=replace(feature.relatives, correlated_b=no_correlates()))
    assert_same(again(feature), feature)


@dataclass(frozen=True)
class MoreActivity(Activity):
    entropy: float = float("inf")
    steps: Float32 = field(default_factory=lambda: np.zeros(3, np.float32))


@dataclass(frozen=True)
class MoreStatistics(FeatureStatistics):
    activity: MoreActivity
    probes: ShownRows | None = None


def test_a_figure_that_the_record_gets_is_stored_and_missing_in_what_was_stored_before():
    feature, schema = made_up.feature(), Schema(MoreStatistics)
    more = MoreStatistics(
        **vars(feature)
        | {"activity": MoreActivity(**vars(feature.activity), entropy=0.5, steps=np.float32([1, 2]))}
        | {"probes": feature.shown}
    )
    packed = schema.pack(more)
    assert_same(schema.unpack(packed, columns_of(feature)), more)
    assert_same(again(feature, packed), feature)  # a version without the figure leaves it out
    before = schema.unpack(pack(feature), columns_of(feature))
    assert (before.activity.entropy, before.activity.steps.tolist(), before.probes) == (float("inf"), [0, 0, 0], None)
    assert_same(before.activity.histogram, feature.activity.histogram)


def test_a_feature_with_100_examples_and_300_shown_tokens_takes_less_than_7_kilobytes():
    packed = [len(pack(made_up.feature(i, rows=30_000, length=128, chosen=20))) for i in range(20)]
    assert np.mean(packed) < 7_000
