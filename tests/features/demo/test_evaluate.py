"""Do the figures equal those of a slow, obvious twin?"""

import math

import numpy as np
import pytest
import torch

from features.demo.making import evaluate, sae_files
from features.demo.making import language_model as lm
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


def test_every_figure_equals_its_naive_twin(shape, weights, sae, token_rows):
    held_out, corpus = token_rows[:20], token_rows[20:60]
    found = evaluate.measure(weights, sae, held_out, corpus, tokens=500)
    active, hs, errors, losses = [], [], [], {"clean": [], "sae": [], "zero": []}
    for row in held_out.astype(np.int64):
        tokens = torch.from_numpy(row)[None]
        h = lm.neurons(weights, lm.attend(weights, tokens, torch.float32))[0]
        a = h @ sae["W_enc"] + sae["b_enc"]
        f = torch.where(a > sae["threshold"], a, 0)
        rebuilt = f @ sae["W_dec"] + sae["b_dec"]
        for name, edited in (("clean", h), ("sae", rebuilt), ("zero", 0 * h)):
            p = lm.logits(weights, tokens, lambda _, edited=edited: edited[None])[0].log_softmax(-1)
            losses[name] += [-float(p[i, row[i + 1]]) for i in range(len(row) - 1)]
        for i, token in enumerate(row):
            if token > 2:
                active.append((f[i] > 0).sum().item())
                hs.append(h[i])
                errors.append((h[i] - rebuilt[i]).square().sum().item())
    clean, spliced, zero = (np.mean(losses[name]) for name in ("clean", "sae", "zero"))
    assert math.isclose(found.loss, clean, rel_tol=1e-5)
    assert math.isclose(found.loss_recovered, (zero - spliced) / (zero - clean), rel_tol=1e-3)
    assert math.isclose(found.l0, np.mean(active), rel_tol=1e-6)
    hs = torch.stack(hs).double()
    explained = 1 - sum(errors) / float((hs - hs.mean(0)).square().sum())
    assert math.isclose(found.explained_variance, explained, rel_tol=1e-4)

    fired, seen = torch.zeros(50), 0
    for row in corpus.astype(np.int64):
        if seen < 500:
            tokens = torch.from_numpy(row)[None]
            f = evaluate.encode(sae, lm.neurons(weights, lm.attend(weights, tokens, torch.float32))[0])
            text = torch.from_numpy(row) > 2
            fired, seen = fired + (f[text] > 0).sum(0), seen + int(text.sum())
    assert found.density_tokens == seen >= 500
    assert found.dead == pytest.approx(float((fired == 0).float().mean())) and found.dead >= 1 / 50
    assert found.dense == pytest.approx(float((fired / seen > 0.1).float().mean())) and found.dense >= 1 / 50
    alive = torch.nonzero(fired)[:, 0].tolist()
    cosine = torch.nn.functional.cosine_similarity
    near = [any(cosine(sae["W_dec"][i], sae["W_dec"][j], 0) > 0.9 for j in alive if j != i) for i in alive]
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
