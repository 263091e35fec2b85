"""Do the figures equal those of the reference, one row at a time?"""

import math
from functools import partial

import numpy as np
import pytest
import torch

from features.demo.making import evaluate, sae_files
from features.demo.making import language_model as lm
from features.engine import reference
from features.engine.sae.checkpoint import read_sae


@pytest.fixture
def sae(shape):
    torch.manual_seed(4)
    W_dec = torch.randn(50, shape.d_mlp)
    W_dec[1] = W_dec[0] * 2 + 0.01  # a twin
    W_enc, b_enc = torch.randn(shape.d_mlp, 50), torch.randn(50)
    b_enc[7], b_enc[8] = -1e4, 1e4  # one dead, one dense
    W_enc[:, 1] = W_enc[:, 0]
    b_enc[1] = b_enc[0] = 0
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": torch.randn(shape.d_mlp),
            "threshold": torch.rand(50)}  # fmt: skip


def test_every_figure_equals_the_references(shape, weights, sae, token_rows):
    held_out, corpus = token_rows[:20], token_rows[20:60]
    found = evaluate.measure(weights, sae, held_out, corpus, tokens=500)
    fs, hs, rebuilds, losses = [], [], [], {"clean": [], "sae": [], "zero": []}
    jump = partial(reference.jumprelu, threshold=sae["threshold"])
    for row in held_out.astype(np.int64):
        tokens = torch.from_numpy(row)[None]
        h = lm.neurons(weights, lm.attend(weights, tokens, torch.float32))[0]
        f = reference.encode(h, sae["W_enc"], sae["b_enc"], act=jump)
        rebuilt = reference.decode(f, sae["W_dec"], sae["b_dec"])
        for name, edited in (("clean", h), ("sae", rebuilt), ("zero", 0 * h)):
            p = lm.logits(weights, tokens, lambda _, edited=edited: edited[None])[0].log_softmax(-1)
            losses[name] += [-float(p[i, row[i + 1]]) for i in range(len(row) - 1)]
        text = reference.counted(tokens[0], {0, 1, 2})
        fs.append(f[text]), hs.append(h[text]), rebuilds.append(rebuilt[text])
    clean, spliced, zero = (np.mean(losses[name]) for name in ("clean", "sae", "zero"))
    assert math.isclose(found.loss, clean, rel_tol=1e-5)
    assert math.isclose(found.loss_recovered, reference.loss_recovered(clean, spliced, zero), rel_tol=1e-3)
    fs, hs, rebuilds = (torch.cat(part).double() for part in (fs, hs, rebuilds))
    assert math.isclose(found.l0, float(reference.l0(fs)), rel_tol=1e-6)
    explained = float(reference.explained_variance(hs, rebuilds))
    assert math.isclose(found.explained_variance, explained, rel_tol=1e-4)

    fs, seen = [], 0
    for row in corpus.astype(np.int64):
        if seen < 500:
            tokens = torch.from_numpy(row)[None]
            f = evaluate.encode(sae, lm.neurons(weights, lm.attend(weights, tokens, torch.float32))[0])
            text = torch.from_numpy(row) > 2
            fs.append(f[text])
            seen += int(text.sum())
    assert found.density_tokens == seen >= 500
    dead, dense = reference.dead_and_dense(torch.cat(fs))
    assert found.dead == pytest.approx(float(dead.double().mean())) and found.dead >= 1 / 50
    assert found.dense == pytest.approx(float(dense.double().mean())) and found.dense >= 1 / 50
    alive = (~dead).nonzero()[:, 0].tolist()
    cosine = reference.decoder_cosine(sae["W_dec"], sae["W_dec"])
    near = [any(cosine[i, j] > 0.9 for j in alive if j != i) for i in alive]
    assert found.twins == pytest.approx(np.mean(near)) and found.twins >= 2 / 50


def test_standard_saes_with_a_pre_bias_are_measured_too(sae, tmp_path):
    sae_files.write(tmp_path, sae, tokens=1, context=24)
    config = (tmp_path / "cfg.json").read_text()
    as_written = sae_files.read(tmp_path)
    (tmp_path / "cfg.json").write_text(config.replace('input": false', 'input": true'))
    folded, h = sae_files.read(tmp_path), torch.randn(5, sae["W_enc"].shape[0])
    expected = (h - as_written["b_dec"]) @ as_written["W_enc"] + as_written["b_enc"]
    torch.testing.assert_close(h @ folded["W_enc"] + folded["b_enc"], expected)


@pytest.mark.parametrize("small", [False, True])
def test_a_written_sae_is_read_by_the_engine_with_the_same_weights(sae, tmp_path, small):
    sae_files.write(tmp_path, sae, tokens=1, context=24, small=small)
    ours = sae_files.read(tmp_path)
    spread = (ours["W_enc"] - sae["W_enc"]).std() / sae["W_enc"].std()
    assert spread < (0.09 if small else 0.001)
    theirs = read_sae(tmp_path)
    torch.testing.assert_close(theirs.W_enc, ours["W_enc"], rtol=0, atol=0)
    torch.testing.assert_close(theirs.W_dec, ours["W_dec"], rtol=0, atol=0)
