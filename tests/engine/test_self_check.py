"""A well-read SAE passes; a misread one is found out, and the right reading is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.engine import other_readings, self_check
from features.engine.sae.sae import SAEConfig, SparseAutoencoder
from features.engine.subject import Subject

from . import small

MLP_OUT, RESIDUAL = "blocks.0.hook_mlp_out", "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def model(subject):
    return subject.model


def principal(model, rows, hook, norm="none"):
    """An SAE that explains its hook point: both directions of each principal axis, the mean as bias."""
    h = model.activations(torch.from_numpy(rows.astype(np.int64)), hook).flatten(0, 1)
    width = h.shape[1]
    if norm == "layer_norm":
        h = (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True)
    mean = h.mean(0)
    axes = torch.linalg.svd(h - mean, full_matrices=False).Vh[: width // 2]
    W_dec = torch.cat([axes, -axes])
    config = SAEConfig(width, len(W_dec), input_norm=norm, hook_point=hook)
    return SparseAutoencoder(config, W_dec.T, W_dec, -(mean @ W_dec.T), mean)


def read_at(subject, sae, hook):
    return replace(subject, sae=sae, hook_point=hook)


def test_an_sae_at_its_own_hook_point_passes(subject, model, rows):
    checked = self_check.check_sae(read_at(subject, principal(model, rows, MLP_OUT), MLP_OUT), rows)
    assert not [f for f in checked.findings if "variance" in f]
    assert checked.explained_variance > 0.8 and checked.tokens <= rows.size


def test_the_figures_are_those_of_the_whole_computation(subject, rows):
    from features.engine.collect.collect import collect

    checked = self_check.check_sae(subject, rows, tokens=10**6)
    summary = collect(subject, rows, tokens=checked.tokens).summary
    assert checked.l0 == pytest.approx(summary.l0)
    assert checked.explained_variance == pytest.approx(summary.explained_variance, rel=1e-4)
    assert checked.loss_clean == pytest.approx(summary.loss_clean, rel=1e-5)
    assert checked.loss_recovered == pytest.approx(summary.loss_recovered, rel=1e-4)


def test_a_large_model_is_looked_at_on_fewer_tokens_but_never_on_too_few(subject, rows, monkeypatch):
    monkeypatch.setattr(self_check, "TOKENS", 300)
    monkeypatch.setattr(self_check, "LEAST_TOKENS", 100)
    assert 300 <= self_check.check_sae(subject, rows).tokens < 300 + rows.shape[1]
    monkeypatch.setattr(self_check, "TOKENS_WORK", 1)  # as if its blocks were that much larger
    assert 100 <= self_check.check_sae(subject, rows).tokens < 100 + rows.shape[1]


def test_a_wrong_hook_point_is_found_out_and_the_right_one_named(subject, model, rows):
    sae = principal(model, rows, MLP_OUT)
    checked = self_check.check_sae(read_at(subject, sae, "blocks.0.hook_attn_out"), rows)
    assert not checked.passed
    assert checked.others[0].hook_point == MLP_OUT
    assert f"The same weights at {MLP_OUT} give 0." in checked.findings[-1]
    assert checked.to_dict()["others"][0].startswith(f"at {MLP_OUT} give 0.")


def test_a_wrong_input_norm_is_found_out_and_the_right_one_named(subject, model, rows):
    sae = principal(model, rows * 1, RESIDUAL, norm="layer_norm")
    sae = SparseAutoencoder(replace(sae.config, input_norm="none"), *sae._weights())
    checked = self_check.check_sae(read_at(subject, sae, RESIDUAL), rows)
    best = checked.others[0]
    assert (best.hook_point, best.input_norm) == (RESIDUAL, "layer_norm")
    assert "with input norm layer_norm" in checked.findings[-1]


def untrained(subject, k=4, d_sae=64):
    """A top-k SAE as it is before its first step: random unit directions, read and written alike."""
    directions = torch.randn(d_sae, small.D_MODEL, generator=torch.Generator().manual_seed(3))
    directions /= directions.norm(dim=1, keepdim=True)
    config = SAEConfig(small.D_MODEL, d_sae, activation="topk", k=k)
    return SparseAutoencoder(config, directions.T, directions, torch.zeros(d_sae), torch.zeros(small.D_MODEL))


def test_a_poor_sae_that_is_read_as_it_was_meant_is_called_so_whatever_other_hook_points_explain(subject, rows):
    checked = self_check.check_sae(read_at(subject, untrained(subject), RESIDUAL), rows)
    elsewhere = self_check.check_sae(read_at(subject, untrained(subject), "blocks.0.hook_resid_pre"), rows)
    # At another hook point it explains much more, and follows the activations no better.
    assert elsewhere.explained_variance > checked.explained_variance + 0.5 and checked.explained_variance < 0
    assert checked.poor and not checked.passed and not checked.others
    assert "4.0 features are active on a token, k = 4" in checked.findings[-1]
    assert "few training steps" in checked.findings[-1] and not any("probably wrong" in f for f in checked.findings)


def test_a_wrongly_read_sae_is_not_called_poor(subject, rows):
    sae = untrained(subject, k=8, d_sae=128)
    other_model = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
    sae = SparseAutoencoder(sae.config, sae.W_enc, sae.W_dec @ other_model, sae.b_enc, sae.b_dec)
    checked = self_check.check_sae(read_at(subject, sae, RESIDUAL), rows)
    assert not checked.poor and "Check whether it is the right model" in checked.findings[-1]


def test_other_readings_come_with_the_option_that_asks_for_them(subject, model, rows):
    sae = principal(model, rows, MLP_OUT)
    checked = self_check.check_sae(read_at(subject, sae, "blocks.0.hook_attn_out"), rows)
    assert checked.findings[-1].split("--hook ")[1].startswith(f"{MLP_OUT} (mean correlation 0.9")
    scale = 7.0
    shrunk = SparseAutoencoder(sae.config, sae.W_enc / scale, sae.W_dec * scale, sae.b_enc, sae.b_dec * scale)
    shrunk = replace(subject, sae=shrunk, hook_point=MLP_OUT)
    named = [reading for reading in other_readings.better_at(shrunk, *fitted(shrunk, rows)) if reading.option]
    assert all(reading.hook_point == MLP_OUT and reading.option.startswith("--answer ") for reading in named)


def fitted(subject, rows):
    h = self_check.counted_activations(subject, rows)
    return h, other_readings.fit_of(subject.sae, h)


def test_a_residual_stream_that_was_centred_in_training_is_found_out(subject, model, rows):
    h = model.activations(torch.from_numpy(rows.astype(np.int64)), RESIDUAL).flatten(0, 1)
    centred = h - h.mean(-1, keepdim=True)
    axes = torch.linalg.svd(centred - centred.mean(0), full_matrices=False).Vh[:14]
    W_dec, mean = torch.cat([axes, -axes]), centred.mean(0)
    # A common offset of the entries that training never saw: it is not orthogonal to what the encoder reads.
    W_enc = W_dec.T + 2.0
    config = SAEConfig(16, len(W_dec), hook_point=RESIDUAL)
    sae = SparseAutoencoder(config, W_enc, W_dec, -(mean @ W_dec.T), mean)
    checked = self_check.check_sae(read_at(subject, sae, RESIDUAL), rows)
    assert checked.others[0].input_norm == "center"
    assert "--answer center_writing_weights=yes" in checked.findings[-1]


def test_weights_that_fit_nowhere_say_so(subject, rows):
    g = torch.Generator().manual_seed(0)
    W = torch.randn(small.D_MLP, 40, generator=g) * 5
    sae = SparseAutoencoder(SAEConfig(small.D_MLP, 40), W, W.T.contiguous(), torch.zeros(40), torch.zeros(small.D_MLP))
    checked = self_check.check_sae(replace(subject, sae=sae), rows)
    assert "below 0: hook point or input norm is probably wrong" in checked.findings[0]
    assert "Check whether it is the right model" in checked.findings[-1]


def test_an_sae_that_never_fires_is_told_by_its_l0(subject, rows):
    still = replace(subject, sae=SparseAutoencoder(subject.sae.config, *subject.sae._weights()))
    still.sae.b_enc = still.sae.b_enc - 1e6  # not in place: other tests read these weights
    checked = self_check.check_sae(still, rows)
    assert any("0.00 active features a token" in finding for finding in checked.findings)


def test_recomputed_activations_are_the_dense_ones(subject, rows):
    dense = subject.sae.encode(subject.activations(rows.astype(np.int64)))
    features, at_rows, positions = np.array([0, 5, 7, 5]), np.array([3, 3, 8, 0]), np.array([4, 9, 2, 31])
    found = self_check.recompute(subject, rows, features, at_rows, positions)
    np.testing.assert_allclose(found, dense[at_rows, positions, features], rtol=1e-5, atol=1e-5)


def test_a_subject_of_another_width_is_refused_before_any_of_this(small_folder, tmp_path):
    small.write_sae(tmp_path, d_in=small.D_MODEL)
    with pytest.raises(ValueError, match="The SAE reads 16 values, blocks.0.mlp.hook_post has 24"):
        Subject.load(small_folder / "model", tmp_path, small.HOOK, device="cpu")


def test_tokens_in_front_of_the_first_that_counts_are_none_of_those_looked_at(subject, rows):
    skipped = rows.shape[1] - 4  # of each row at most four tokens count
    assert 48 <= self_check.check_sae(subject, rows, tokens=48, first=skipped).tokens < 48 + 4


def test_other_hook_points_are_judged_by_the_same_positions(subject, model, rows):
    first, at = 20, "blocks.0.hook_attn_out"
    sae = principal(model, rows, MLP_OUT)
    found = self_check.check_sae(read_at(subject, sae, at), rows, first=first).others[0]
    counted = self_check.counted_activations(read_at(subject, sae, MLP_OUT), rows, first)
    assert len(counted) < 2 * other_readings.REFINED_TOKENS  # all of them are looked at
    expected = other_readings.fit_of(sae, counted).explained_variance
    assert found.hook_point == MLP_OUT and found.explained_variance == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_rows_without_a_counted_token_say_so_in_figures(subject):
    checked = self_check.check_sae(subject, np.ones((3, small.LENGTH), np.uint16))
    assert checked.tokens == 0 and checked.explained_variance is None and not checked.passed
    assert checked.to_dict()["variance"] == {"first": None, "outliers": None, "explained_without": None}


def test_scaled_weights_of_a_centred_reading_are_judged_with_the_mean_that_was_taken_out(subject, model, rows):
    sae = principal(model, rows, RESIDUAL)
    h = model.activations(torch.from_numpy(rows.astype(np.int64)), RESIDUAL).flatten(0, 1)
    h = h - h.mean(0) + 5  # a mean of each token, which the SAE does not explain
    centred = SparseAutoencoder(replace(sae.config, input_norm="center"), *sae._weights())
    one, other = other_readings.scaled(centred, 2.0), other_readings.scaled(sae, 2.0)
    mean = h.mean(-1, keepdim=True)
    torch.testing.assert_close(one.encode(h), other.encode(h - mean), rtol=1e-4, atol=1e-4)
    f = one.encode(h)
    torch.testing.assert_close(one.decode(f, h), (f @ sae.W_dec + sae.b_dec) / 2 + mean, rtol=1e-4, atol=1e-4)
