"""Does the comparison with other tools see a difference where there is one, and only there?"""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.bench import bench_peers
from tests.bench.peer_numbers import density_gap, differences, effect_pairs, logit_gaps, mean_gap, top_gap


def ours():
    """A feature that fires on 4 of 1,000 tokens."""
    shown = SimpleNamespace(
        rows=np.array([2, 7]),
        starts=np.array([0, 1, 3]),
        positions=np.array([20, 30, 31]),
        activations=np.array([4.0, 1.0, 2.0]),
        loss_effects=np.array([-0.5, 0.25, np.nan]),
    )
    values = SimpleNamespace(tokens=np.array([5, 6]), values=np.array([1.0, 0.5]))
    negative = SimpleNamespace(tokens=np.array([8]), values=np.array([-1.0]))
    activity = SimpleNamespace(count=4, maximum=4.0, mean=2.0)
    logits = SimpleNamespace(positive=values, negative=negative)
    return SimpleNamespace(density=0.004, activity=activity, logits=logits, shown=shown)


def theirs(**changed):
    histogram = dict(counts=[2, 1, 1], middles=[1.0, 2.0, 3.5 - 0.25 * 2], title="DENSITY = 0.400%")
    effects = [0.0] * 5 + [9.0, -0.5] + [0.0] * 4  # of the tokens at 15 to 25; the place of the feature is 20
    told = dict(histogram=histogram, positive=[[5, 1.0], [99, 3.0]], negative=[[8, -1.0]], top=[[2, 20, 4.0, effects]])
    return told | changed


def test_equal_figures_are_no_distance_apart():
    peer = theirs(histogram=dict(counts=[2, 0, 2], middles=[0.5, 2.0, 3.5], title="DENSITY = 0.400%"))
    assert density_gap(peer, ours()) == pytest.approx(0)
    assert mean_gap(peer, ours()) == pytest.approx(0)
    assert top_gap(peer, ours()) == pytest.approx(0.25)  # half a bar of 1.5 beyond 3.5
    assert logit_gaps(peer, ours()) == [0, 0]
    assert effect_pairs(peer, ours()) == [(-0.5, -0.5)]


def test_each_quantity_shows_its_own_difference():
    peer = theirs(
        histogram=dict(counts=[2, 0, 3], middles=[0.5, 2.0, 3.5], title="DENSITY = 0.300%"),
        positive=[[5, 1.25]],
        top=[[2, 20, 3.0, [0.0] * 5 + [0.0, -1.0] + [0.0] * 4]],
    )
    lines = "\n".join(differences({3: peer}, {3: ours()}))
    assert "active tokens: 1 apart" in lines
    assert "density as printed: 25.00%" in lines
    assert "top activations: 1.0e+00 apart at most at 1 common places; the highest is missing for 1 of 1" in lines
    assert "logits: 2.5e-01 apart" in lines
    assert "loss effects: 5.0e-01 apart at most, median ratio 2.00, 1 compared" in lines


def test_seconds_are_those_of_256_features_at_a_time():
    few = dict(seconds=30.0, seconds_of_two=14.0, features=dict.fromkeys(range(10)))  # 2 s each, 10 s for all
    assert bench_peers.seconds_per_feature(few)[0] == pytest.approx(2 + 10 / 256)
    whole = dict(seconds=512.0, seconds_of_two=14.0, features=dict.fromkeys(range(256)))
    assert bench_peers.seconds_per_feature(whole) == (2.0, "measured")


def test_a_peer_that_is_not_there_is_left_out_in_words(monkeypatch, capsys):
    for place, _ in bench_peers.PEERS.values():
        monkeypatch.delenv(place, raising=False)
    bench_peers.main()
    told = capsys.readouterr().out
    assert "sae_vis left out: PEER_PYTHON_SAE_VIS" in told and "SAEDashboard left out" in told
