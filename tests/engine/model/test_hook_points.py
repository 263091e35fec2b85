"""At every hook point of models of one and two blocks, effects are what brute force says, and are called right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.collect.collect import collect
from features.engine.model.hook_points import SITES
from features.engine.prompt import analyse
from features.engine.sae.sae import SparseAutoencoder
from features.engine.subject import Subject

from .. import small
from ..twin import unembedding_of

WIDTHS = {"mlp.hook_post": small.D_MLP, "attn.hook_z": small.HEADS * small.D_HEAD}
TOTAL = ("mlp.hook_post", "hook_mlp_out", "hook_resid_post")  # in the last block
PLACES = [(layers, layer, site) for layers, layer in ((1, 0), (2, 0), (2, 1)) for site in SITES]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for layers in (1, 2):
        small.write_model(folder / str(layers), layers)
    return folder


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[0]}-layer-{place[1]}.{place[2]}", scope="module")
def place(request, models):
    """(subject, whether its loss effects are total)."""
    layers, layer, site = request.param
    hook = f"blocks.{layer}.{site}"
    sae = models / f"sae-{layers}-{hook}"
    small.write_sae(sae, hook, WIDTHS.get(site, small.D_MODEL))
    subject = Subject.load(models / str(layers), sae, hook, device="cpu")
    return subject, layer == layers - 1 and site in TOTAL


@pytest.mark.parametrize("norm", ["layer_norm", "constant_norm_rescale"])
def test_an_input_norm_stretches_what_a_feature_writes(models, norm):
    small.write_sae(models / "normed")
    subject = Subject.load(models / "1", models / "normed", small.HOOK, device="cpu")
    sae = SparseAutoencoder(replace(subject.sae.config, input_norm=norm), *subject.sae._weights())
    sae.b_enc += 1
    subject = replace(subject, sae=sae)
    rows = small.corpus_rows(subject.model.d_vocab, count=4)
    ids = rows[1][:12].tolist()
    prompt = analyse(subject, ids)
    features, values = prompt.active(5)
    h = subject.activations(ids)[0, 5:6]
    feature, value = int(features[0]), float(values[0])
    f = sae.encode(h)
    without = f.clone()
    without[0, feature] = 0
    written = (sae.decode(f, h) - sae.decode(without, h))[0] @ subject.model.output_map(small.HOOK)
    residual = subject.model.activations_and_residual(subject.tokens(ids), small.HOOK)[1][0, 5].double()
    unembedding, one = unembedding_of(subject.model.unembedding), torch.ones([])
    effect = float(reference.loss_effect(residual, torch.tensor(ids[6]), one, written.double(), unembedding))
    assert value > 0 and effect == pytest.approx(float(prompt.loss_effects(features)[0, 6]), rel=1e-3, abs=1e-5)
    shown = next(iter(collect(subject, rows, tokens=100, features=[feature]).features())).shown
    at = np.flatnonzero((np.repeat(shown.rows, np.diff(shown.starts)) == 1) & (shown.positions == 5))
    assert shown.loss_effects[at[0]] == pytest.approx(effect, rel=1e-3, abs=1e-5)


def brute_force(subject, ids, position, feature, activation, total):
    """Loss of the next token, less that without the feature: the model run again, or its last residual changed."""
    tokens, unembedding = subject.tokens(ids), unembedding_of(subject.model.unembedding)
    written = activation * subject.sae.W_dec[feature]

    def without(h):
        h = h.clone()
        h[0, position] -= written
        return h

    residual = subject.model.activations_and_residual(tokens, subject.hook_point)[1][0, position].double()
    target = tokens[0, position + 1]
    if total:
        changed = subject.model.residual_with(tokens, subject.hook_point, without)[0, position].double()
        before, after = (reference.losses(x, target, unembedding) for x in (residual, changed))
        return float(before - after)
    direction = reference.output_directions(written[None], subject.model.output_map(subject.hook_point))[0].double()
    return float(reference.loss_effect(residual, target, torch.ones([]), direction, unembedding))


def test_total_is_claimed_only_where_nothing_comes_after(place):
    subject, total = place
    assert subject.total_effect == total
    assert subject.reads_neurons == subject.hook_point.endswith("hook_post")


def test_loss_effects_are_those_of_brute_force(place):
    subject, total = place
    ids = small.corpus_rows(subject.model.d_vocab)[1][:12].tolist()
    prompt = analyse(subject, ids)
    checked = 0
    for position in (2, 5, 9):
        features, values = prompt.active(position)
        found = prompt.loss_effects(features)[:, position + 1]
        for n in range(min(4, len(features))):
            expected = brute_force(subject, ids, position, features[n], float(values[n]), total)
            assert found[n] == pytest.approx(expected, rel=1e-3, abs=2e-5)
            checked += 1
    assert checked >= 3


def test_statistics_are_collected_at_every_hook_point(place):
    subject, _ = place
    rows = small.corpus_rows(subject.model.d_vocab, count=6)
    collected = collect(subject, rows, tokens=120)
    features = list(collected.features())
    dense = np.concatenate([subject.sae.encode(subject.activations(row.astype(np.int64))[0])[1:] for row in rows])
    counted = dense[~np.isin(rows[:, 1:].ravel(), sorted(subject.vocabulary.special))]
    assert len(features) == small.D_SAE
    most = max(features, key=lambda feature: feature.activity.maximum)
    assert most.activity.maximum == pytest.approx(counted[: collected.tokens, most.index].max(), rel=1e-5)
    assert bool(len(features[0].relatives.alignment.neurons)) == subject.reads_neurons
