"""Do the figures equal those of the reference, one row at a time, and is what is written read back?"""

import math
from functools import partial

import numpy as np
import pytest
import torch

from features.demo.making import bundle, figures
from features.demo.making.sae.inputs import HOOK, jumprelu
from features.engine import reference
from features.engine.sae.checkpoint import read_sae
from features.engine.subject import Subject


@pytest.fixture
def sae(config):
    torch.manual_seed(4)
    W_dec = torch.randn(50, config.d_mlp)
    W_dec[1] = W_dec[0] * 2 + 0.01  # a twin
    W_enc, b_enc = torch.randn(config.d_mlp, 50), torch.randn(50)
    b_enc[7], b_enc[8] = -1e4, 1e4  # one dead, one dense
    W_enc[:, 1] = W_enc[:, 0]
    b_enc[1] = b_enc[0] = 0
    weights = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": torch.randn(config.d_mlp)}
    return jumprelu(weights, torch.rand(50))


def test_every_figure_equals_the_references(model, sae, vocabulary, token_rows):
    held_out, corpus = token_rows[:20], token_rows[20:60]
    found = figures.measure(Subject(model, sae, HOOK, vocabulary), held_out, corpus, tokens=500)
    jump = partial(reference.jumprelu, threshold=sae.threshold)
    fs, hs, rebuilds, losses = [], [], [], {"clean": [], "sae": [], "zero": []}
    for row in held_out.astype(np.int64):
        tokens = torch.from_numpy(row)[None]
        h = model.activations(tokens, HOOK)[0]
        f = reference.encode(h, sae.W_enc, sae.b_enc, act=jump)
        rebuilt = reference.decode(f, sae.W_dec, sae.b_dec)
        for name, edited in (("clean", h), ("sae", rebuilt), ("zero", 0 * h)):
            x = model.residual_with(tokens, HOOK, lambda _, edited=edited: edited[None].float())
            log_p = model.unembedding.logits(x)[0].log_softmax(-1)
            losses[name] += [-float(log_p[i, row[i + 1]]) for i in range(len(row) - 1)]
        text = reference.counted(tokens[0], {0, 1, 2})
        fs.append(f[text]), hs.append(h[text]), rebuilds.append(rebuilt[text])
    clean, spliced, zero = (np.mean(losses[name]) for name in ("clean", "sae", "zero"))
    assert math.isclose(found.loss, clean, rel_tol=1e-5)
    assert math.isclose(found.loss_recovered, reference.loss_recovered(clean, spliced, zero), rel_tol=1e-3)
    assert found.held_out_tokens == 20 * 23
    fs, hs, rebuilds = (torch.cat(part).double() for part in (fs, hs, rebuilds))
    assert math.isclose(found.l0, float(reference.l0(fs)), rel_tol=1e-6)
    explained = float(reference.explained_variance(hs, rebuilds))
    assert math.isclose(found.explained_variance, explained, rel_tol=1e-4)

    fs, seen = [], 0
    for row in corpus.astype(np.int64):
        if seen < 500:
            h = model.activations(torch.from_numpy(row)[None], HOOK)[0]
            text = torch.from_numpy(row) > 2
            fs.append(reference.encode(h, sae.W_enc, sae.b_enc, act=jump)[text])
            seen += int(text.sum())
    assert found.density_tokens == seen >= 500
    dead, dense = reference.dead_and_dense(torch.cat(fs))
    assert found.dead == pytest.approx(float(dead.double().mean())) and found.dead >= 1 / 50
    assert found.dense == pytest.approx(float(dense.double().mean())) and found.dense >= 1 / 50
    alive = (~dead).nonzero()[:, 0].tolist()
    cosine = reference.decoder_cosine(sae.W_dec, sae.W_dec)
    near = [any(cosine[i, j] > 0.9 for j in alive if j != i) for i in alive]
    assert found.twins == pytest.approx(np.mean(near)) and found.twins >= 2 / 50
    assert found.to_read == alive


def test_the_features_to_read_are_drawn_among_those_that_fired():
    alive = np.arange(1000) % 3 > 0
    first = figures.drawn(alive)
    assert len(set(first)) == 120 and alive[first].all() and first == figures.drawn(alive)
    assert first[0] > 0 and max(first) > 900  # from all of them, not the first ones


@pytest.mark.parametrize("small", [False, True])
def test_a_written_sae_is_read_by_the_engine(sae, tmp_path, small):
    bundle.write_sae(tmp_path, sae, tokens=1, context=24, small=small)
    again = read_sae(tmp_path)
    assert again.config.activation == "jumprelu" and again.config.hook_point == HOOK
    for name in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        written, read = getattr(sae, name), getattr(again, name)
        allowed = {"W_enc": 0.09, "W_dec": 0.15}.get(name, 0.001) if small else 0.001
        assert (read - written).std() / written.std() < allowed, name
