"""The definitions of questions give what a hand and a pencil give."""

import math

import pytest
import torch

from features.engine import reference_questions


def T(*values):
    return torch.tensor(values, dtype=torch.float64)


def B(bits):
    return torch.tensor([bit == "1" for bit in bits])


def bits(found):
    return "".join("1" if bit else "0" for bit in found.tolist())


def test_a_match_holds_where_its_last_byte_is_and_touches_all_it_has_bytes_of():
    starts, ends = torch.tensor([0, 3, 3, 6]), torch.tensor([3, 3, 6, 8])  # tokens of 3, 0, 3 and 2 bytes
    assert bits(reference_questions.ends_in(torch.tensor([2, 7]), ends)) == "1001"
    assert bits(reference_questions.ends_in(torch.tensor([6]), ends)) == "0010"
    assert bits(reference_questions.touched(torch.tensor([2]), torch.tensor([7]), starts, ends)) == "1011"


def test_what_is_beside_lies_in_the_same_text_and_is_not_the_token_itself():
    m, text = B("0100010"), torch.tensor([0, 0, 0, 0, 1, 1, 1])
    assert bits(reference_questions.beside(m, text, 1, 0)) == "0010001"
    assert bits(reference_questions.beside(m, text, 9, 0)) == "0011001"
    assert bits(reference_questions.beside(m, text, 0, 1)) == "1000100"
    assert bits(reference_questions.beside(m, text, 2, 2)) == "1011101"


def test_a_feature_is_active_from_a_size_or_a_quantile_on():
    f = T(0, 0, 0, 0, 0, 1, -2, 2, 3, 0)
    assert bits(reference_questions.active_from(f)) == "0000011110"
    assert bits(reference_questions.active_from(f, value=2)) == "0000001110"
    # Seven of ten are smaller than the twos; two are as large, and do not count.
    assert bits(reference_questions.active_from(f, quantile=0.7)) == "0000001110"
    assert bits(reference_questions.active_from(f, quantile=0.71)) == "0000000010"
    assert bits(reference_questions.active_from(f, quantile=0.0)) == "0000011110"


def test_scores_of_a_pattern():
    f, m = T(0, 2, 1, -1, 0, 0, 0, 0), B("11100000")
    found = reference_questions.pattern_scores(f, f != 0, m)
    assert [round(float(found[name]), 12) for name in ("precision", "recall", "f1", "lift", "weighted_precision")] == [
        *(round(x, 12) for x in (2 / 3, 2 / 3, 2 / 3, 2 / 3 / (3 / 8), 3 / 4))
    ]
    # sum f m - mean f sum m = 3 - 2/8 * 3, over the roots of 6 - 8 (2/8)^2 and 3 * 5/8
    assert float(found["correlation"]) == pytest.approx(2.25 / math.sqrt(5.5 * 15 / 8))
    assert reference_questions.pattern_scores(f, f != 0, B("00000001"))["f1"] == 0


def test_wilson():
    low, high = reference_questions.wilson(2, 2)
    assert (low, high) == (pytest.approx(1 / (1 + reference_questions.Z**2 / 2)), 1)
    assert reference_questions.wilson(5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))


def test_the_interval_of_a_precision_is_over_rows():
    rows, draws = torch.tensor([0, 0, 1, 1, 2]), T([1, 1, 1], [2, 0, 1], [0, 0, 3]).reshape(3, 3)
    a, m = B("11110"), B("11000")
    low, high = reference_questions.precision_interval(a, m, rows, draws)
    # Shares of the draws are 2/4 and 4/4; the last has no row of it, and says nothing.
    assert (low, high) == (pytest.approx(0.5125), pytest.approx(0.9875))
    of_two_rows = reference_questions.wilson(2, 2)
    assert reference_questions.precision_interval(a, a, rows, draws) == of_two_rows
    assert reference_questions.precision_interval(B("10100"), B("10000"), rows, draws) == reference_questions.wilson(
        1, 2
    )


def test_order():
    keys, hits, n_a = T(0.5, 0.7, 0.5, 0.5, 0.9), torch.tensor([3, 1, 4, 3, 0]), torch.tensor([5, 5, 5, 5, 0])
    assert reference_questions.pattern_order(keys, hits, n_a) == [1, 2, 0, 3]


def test_who_fired_instead():
    # The pattern holds on the first four tokens, and feature 0 fires on the first of them alone: three are missed.
    a = torch.stack([B("10001"), B("01110"), B("01101"), B("11111"), B("00100")], dim=1)  # [5 tokens, 5 features]
    found = reference_questions.fired_instead(a, B("11110"), 0)
    # 1: 3 of 3, everywhere 3/5; 2: 2 of 3, everywhere 3/5; 3: 3 of 3, as everywhere; 4: once only
    assert list(found) == [1, 2]
    assert found[1] == pytest.approx((3, 1, 5 / 3)) and found[2] == pytest.approx((2, 2 / 3, 10 / 9))


def test_what_a_pre_activation_has_to_exceed():
    p = T(-0.1, 2, -3, -1)
    # The k-th largest, with a ReLU at least 0; by size -3 is the largest.
    assert reference_questions.bar("topk", p, 0, k=1) == 2 and reference_questions.bar("topk", p, 0, k=2) == 0
    assert reference_questions.bar("signed_topk", p, 3, k=2) == pytest.approx(-0.1)
    assert reference_questions.bar("abstopk", p, 0, k=1) == 3 and reference_questions.bar("abstopk", p, 0, k=3) == 1
    assert reference_questions.bar("groupmax", p, 0, k=2) == 2 and reference_questions.bar("groupmax", p, 3, k=2) == 0
    assert reference_questions.bar("jumprelu", p, 1, threshold=T(0.1, 0.7, 0, -1)) == pytest.approx(0.7)
    assert reference_questions.bar("jumprelu", p, 3, threshold=T(0.1, 0.7, 0, -1)) == 0
    assert reference_questions.bar("relu", p, 0) == 0


def test_how_well_texts_are_told_apart():
    # Of six pairs 3 > 1, 3 > 2, 2 > 1 count one, 2 = 2 a half, 0 > 1 and 0 > 2 none.
    assert reference_questions.auroc(T(3, 2, 0), T(1, 2)) == pytest.approx(3.5 / 6)
    assert reference_questions.auroc(T(0), T(0)) == 0.5


def test_a_set_of_texts_grows_by_what_raises_f1_most():
    a = B("11110000")
    texts = {"x": B("10000000"), "y": B("01100000"), "z": B("00011110"), "w": B("00000001")}
    assert reference_questions.f1(a, texts["y"]) == pytest.approx(4 / 6)
    assert reference_questions.f1(a, texts["w"]) == 0
    # y: 4/6; with x: 6/7; with z as well: 8/11, which is less
    assert reference_questions.grown(a, texts) == (pytest.approx(6 / 7), ("y", "x"))
    assert reference_questions.grown(a, {"w": texts["w"]}) == (0, ())


def test_a_description_is_one_condition_or_two():
    a = B("11000000")
    slots = [{"I": B("11110000"), "you": B("00001111")}, {",": B("11001000")}, {}]
    affixes, literals = {"ends with s": B("00000011")}, {"in code": B("00110000")}
    # of one: “,” in front of it, 4/5; with it “I”: 1, and so has “I”, not in code, and “I” after “,”, tried first
    found = reference_questions.description(a, slots, affixes, literals)
    assert found == (1, ((0, ("I",)), ("not", "in code")))
    assert reference_questions.description(B("00110000"), slots, affixes, literals) == (1, (("is", "in code"),))
    assert reference_questions.description(B("00000011"), slots, affixes, {}) == (1, (("affix", "ends with s"),))
    assert reference_questions.description(a, [{}, {}, {}], {}, literals) == (0, ())
