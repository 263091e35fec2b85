"""What a feature fires on, and what fires with it, is what counting over dense activations gives."""

import numpy as np
import pytest
import torch

from features.engine import reference_analysis as reference
from features.engine.analysis import token_statistics as statistics
from features.engine.analysis.token_statistics import PLACES, TokenText, token_statistics
from features.engine.reference_questions import wilson

from ..small import D_SAE, LENGTH
from .conftest import SPECIAL

KINDS = 3


@pytest.fixture(scope="module")
def kinds(rows):
    """Of documents that begin anywhere; the first is of none that is known."""
    return (np.arange(rows[:, 1:].size).reshape(len(rows), -1) // 37 % (KINDS + 1)) - 1


@pytest.fixture(scope="module")
def found(kept, rows, kinds):
    return list(token_statistics(kept, TokenText.of(rows, 1, SPECIAL, kinds, KINDS)))


@pytest.fixture(scope="module")
def everywhere(dense, rows, number):
    """Activations on all tokens but the BOS, special ones too, which have none. [tokens, d_sae], ids, rows, counted"""
    f = torch.zeros(rows[:, 1:].size, D_SAE, dtype=dense.f.dtype)
    f[number] = dense.f
    ids = torch.from_numpy(rows[:, 1:].astype(np.int64)).flatten()
    return f, ids, torch.arange(len(ids)) // (LENGTH - 1), torch.from_numpy(~np.isin(ids.numpy(), SPECIAL))


def alive(found):
    return [one for one in found if one is not None]


def test_shares_of_tokens_are_counted_both_ways_at_before_and_after(found, everywhere):
    f, ids, rows, counted = everywhere
    assert not counted.all() and [one is None for one in found] == [not (f[:, i] != 0).any() for i in range(D_SAE)]
    beside = {name: reference.beside(ids, counted, rows, by) for name, by in PLACES.items()}
    compared = 0
    for one in alive(found)[::5]:
        a = f[:, one.index] != 0
        for place, there in beside.items():
            shown = one.places[place]
            every = torch.bincount(there[a & (there >= 0)])
            most = torch.sort(every, descending=True, stable=True).indices[: statistics.TOKENS]
            assert set(most[every[most] > 0].tolist()) <= set(shown.tokens.tolist())
            assert (np.diff(shown.counts) <= 0).all()
            total = torch.bincount(there[there >= 0], minlength=len(every))
            often = {v: wilson(int(every[v]), int(total[v]))[0] for v in torch.nonzero(every >= 5).flatten().tolist()}
            best = sorted(often, key=lambda v: (-often[v], v))[: statistics.TOKENS]
            assert set(best) <= set(shown.tokens.tolist())
            for v, count, size, occurs in zip(shown.tokens, shown.counts, shown.sizes, shown.occurrences, strict=True):
                of_feature, of_token = reference.token_shares(a, there, v)
                assert (count / one.count, count / occurs) == (float(of_feature), float(of_token))
                weighted = reference.weighted_token_share(f[:, one.index], there, v)
                assert size / one.size == pytest.approx(float(weighted), rel=1e-5, abs=1e-6)  # float32
                compared += 1
    assert compared > 200


def test_entropy_skew_and_the_commonest_token_are_said_of_twenty_activations_and_more(found, everywhere):
    f, ids, _, _ = everywhere
    said = 0
    for one in alive(found):
        a = f[:, one.index] != 0
        if one.count < 20:
            assert np.isnan([one.entropy, one.weighted_entropy, one.commonest, one.skew, one.position[1]]).all()
            continue
        counts = torch.bincount(ids[a]).double()
        sizes = torch.bincount(ids[a], f[a, one.index].abs().double())
        assert one.entropy == pytest.approx(float(reference.entropy(counts)))
        assert one.weighted_entropy == pytest.approx(float(reference.entropy(sizes)), rel=1e-5)
        assert one.commonest == float(counts.max() / counts.sum())
        assert one.skew == pytest.approx(float(reference.skew(f[a, one.index].double())), rel=1e-3, abs=1e-4)
        said += 1
    assert said > 10


def test_features_that_fire_together_and_next_are_those_of_all_pairs(found, everywhere):
    f, _, rows, counted = everywhere
    a = f != 0
    listed = 0
    for one in alive(found)[::7]:
        i = one.index
        pairs = {
            j: reference.co_activation(a[counted, i], a[counted, j]) for j in range(D_SAE) if j != i and a[:, j].any()
        }
        meet = {j: int((a[:, i] & a[:, j]).sum()) for j in pairs}
        lower = {  # end of the interval of the smaller share
            j: min(wilson(meet[j], int(a[:, i].sum()))[0], wilson(meet[j], int(a[:, j].sum()))[0])
            for j in pairs
            if meet[j] >= statistics.LEAST_MEETINGS
        }
        best = sorted(lower, key=lambda j: (-lower[j], j))[: statistics.PARTNERS]
        assert one.together.features.tolist() == best
        for n, j in enumerate(best):
            figures = one.together.forward[n], one.together.back[n], one.together.lift[n]
            assert figures == pytest.approx([float(x) for x in pairs[j]])
        for n, j in enumerate(one.next.features.tolist()):
            figures = one.next.forward[n], one.next.back[n]
            assert figures == pytest.approx([float(x) for x in reference.next_activation(a[:, i], a[:, j], rows)])
        listed += len(best) + len(one.next.features)
    assert listed > 50


def test_positions_and_kinds_are_shares_of_the_tokens_there(found, everywhere, kinds):
    f, ids, _, counted = everywhere
    position, kinds = torch.arange(len(ids)) % (LENGTH - 1), torch.from_numpy(kinds).flatten()
    for one in alive(found)[::9]:
        a = f[:, one.index] != 0
        at = int(torch.bincount(position[a]).argmax())
        assert one.position[0] == at + 1
        bins = position * len(one.by_position) // (LENGTH - 1)
        for b, share in enumerate(one.by_position):
            assert share == pytest.approx(float((a & (bins == b)).sum() / (counted & (bins == b)).sum()))
        for k in range(KINDS):
            own, weighted, of_kind = one.by_kind[k]
            assert own == pytest.approx(float((a & (kinds == k)).sum() / a.sum()))
            assert weighted == pytest.approx(float(f[kinds == k, one.index].abs().sum() / f[:, one.index].abs().sum()))
            assert of_kind == pytest.approx(float((a & (kinds == k)).sum() / (counted & (kinds == k)).sum()))


def test_a_token_that_meets_a_feature_less_than_five_times_is_shown_for_its_weight_alone(found, everywhere):
    f, ids, rows, counted = everywhere
    left_out = 0
    for one in alive(found):
        for place, by in PLACES.items():
            there = reference.beside(ids, counted, rows, by)
            a = (f[:, one.index] != 0) & (there >= 0)
            every = torch.bincount(there[a])
            sizes = torch.bincount(there[a], f[a, one.index].abs().double(), len(every))
            by_weight = {
                v for key in (every, sizes) for v in torch.sort(key, descending=True, stable=True).indices.tolist()[:8]
            }
            shown = one.places[place]
            rare = shown.tokens[shown.counts < statistics.LEAST_MEETINGS].tolist()
            # Sizes are summed in float32 and in float64: of equal ones either may be shown.
            least = sizes.sort(descending=True).values[:8].min() if len(sizes) else 0
            assert all(v in by_weight or float(sizes[v]) >= float(least) * (1 - 1e-5) for v in rare)
            left_out += len(torch.nonzero(every)) - len(shown.tokens)
    assert left_out > 100
