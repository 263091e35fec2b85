"""Are the sparse gradients those of the dense formula, and is the error weighed as it acts on the predictions?"""

import pytest
import torch

from features.demo.making.sae import auxiliary, batch_topk
from features.demo.making.sae.initial import initial, spread_out
from features.demo.making.sae.inputs import HOOK, jumprelu
from features.demo.making.sae.objective import Objective, output_map

N, D_IN, D_SAE, K = 64, 12, 40, 5


@pytest.fixture
def problem():
    torch.manual_seed(0)
    x = torch.randn(N, D_IN) * 2 + torch.randn(D_IN)
    w = initial(x, D_SAE, K)
    w["b_enc"] += torch.randn(D_SAE) * 0.1
    objective = Objective(torch.randn(D_IN, 4), 3.0, 5.0, share=0.3)
    return w, x, objective


def dense_loss(w, x, objective, threshold):
    a = x @ w["W_enc"] + w["b_enc"]
    e = (a * (a > threshold)) @ w["W_dec"] + w["b_dec"] - x
    neurons = e.square().sum() / N / objective.variance
    effect = (e @ objective.K).square().sum() / N / objective.effect_variance
    return neurons, effect, objective.share * neurons + (1 - objective.share) * effect


def test_batch_topk_is_the_engines_jumprelu_once_the_threshold_is_given(problem):
    w, x, _ = problem
    forward = batch_topk.forward(w, x, K, torch.float32)
    sae = jumprelu(w, forward.threshold.expand(D_SAE))
    f = sae.encode(x)
    assert (f > 0).any() and (f == 0).any()
    torch.testing.assert_close(forward.f.to_dense(), f)
    torch.testing.assert_close(forward.e + x, sae.decode(f))


def test_sparse_gradients_are_autograds_of_the_dense_formula(problem):
    w, x, objective = problem
    step = batch_topk.backward(w, batch_topk.forward(w, x, K, torch.float32), objective)
    trained = {name: value.requires_grad_() for name, value in w.items()}
    neurons, effect, loss = dense_loss(trained, x, objective, step.threshold)
    expected = dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))
    assert step.neuron_error == pytest.approx(neurons.item(), rel=1e-5)
    assert step.effect_error == pytest.approx(effect.item(), rel=1e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(step.gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_threshold_lets_k_features_through(problem, monkeypatch):
    w, x, objective = problem
    monkeypatch.setattr(batch_topk, "SAMPLED", 1)
    step = batch_topk.backward(w, batch_topk.forward(w, x, K, torch.float32), objective)
    assert int(step.fired.sum()) == K * N


def test_silent_features_learn_to_rebuild_what_is_left(problem):
    w, x, _ = problem
    silent = torch.tensor([3, 7])
    forward = batch_topk.forward(w, x, K, torch.float32)
    added = {name: torch.zeros_like(w[name]) for name in ("W_enc", "b_enc", "W_dec")}
    auxiliary.add_gradients(added, w, forward, silent)
    trained = {name: w[name].requires_grad_() for name in added}
    a = x @ trained["W_enc"] + trained["b_enc"]
    e = ((a * (a > forward.threshold)) @ w["W_dec"] + w["b_dec"] - x).detach()
    rebuilt = a[:, silent].clamp_min(0) @ trained["W_dec"][silent]
    loss = (e + rebuilt).square().sum() / N / 32 / e.square().sum(1).mean()
    for name, gradient in zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True):
        torch.testing.assert_close(added[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_what_fires_rarely_or_has_parted_is_helped_and_not_what_is_silent_for_long(monkeypatch):
    monkeypatch.setattr(auxiliary, "HELPED", 3)
    W_dec = torch.nn.functional.normalize(torch.randn(6, D_IN, generator=torch.Generator().manual_seed(3)))
    w = {"W_dec": W_dec, "W_enc": (W_dec * 2).T.clone()}
    w["W_enc"][:, 4] = torch.linalg.svd(W_dec[4:5])[2][-1]  # at right angles to its decoder
    recent = auxiliary.Recent.empty(6, "cpu", blocks=4)
    fired = torch.tensor([0, 2, 30, 1, 900, 3000])
    recent.add(fired, 25_000, window=100_000)
    for _ in range(3):
        recent.add(0 * fired, 25_000, window=100_000)  # silent since
    assert recent.rates().tolist() == (fired.double() / 100_000).tolist()
    assert auxiliary.needy(w, recent.rates()).tolist() == [True, True, False, True, True, False]
    assert auxiliary.helped(w, recent.rates()).tolist() == [0, 3, 1]  # the rarest three
    monkeypatch.setattr(auxiliary, "HELPED", 6)
    assert sorted(auxiliary.helped(w, recent.rates()).tolist()) == [0, 1, 3, 4]
    recent.add(fired, 25_000, window=100_000)  # what came first is forgotten
    assert recent.rates().tolist() == (fired.double() / 100_000).tolist() and recent.tokens.tolist() == [25_000] * 4


def test_output_map_measures_the_spread_of_the_logit_error(config, weights, model):
    shares = torch.rand(config.d_vocab, dtype=torch.float64)
    shares /= shares.sum()
    K = output_map(model.output_map(HOOK), model.unembedding, shares)
    assert K.shape == (config.d_mlp, config.d_model)
    e = torch.randn(6, config.d_mlp, dtype=torch.float64)
    moved = e @ weights["blocks.0.mlp.W_out"].double()
    moved = (moved - moved.mean(1, keepdim=True)) * weights["ln_final.w"]
    logits = moved @ weights["unembed.W_U"].double()
    spread = (shares * logits.square()).sum(1) - (shares * logits).sum(1).square()
    torch.testing.assert_close((e @ K).square().sum(1), spread)


def test_divergence_of_a_small_error_is_what_the_metric_says():
    """D(p || softmax(log p + d)) -> d'(diag(p) - pp')d / 2."""
    torch.manual_seed(1)
    p, d = torch.softmax(torch.randn(30).double(), 0), torch.randn(30).double() * 1e-3
    divergence = (p * (p.log() - torch.log_softmax(p.log() + d, 0))).sum()
    spread = (p * d * d).sum() - (p * d).sum() ** 2
    torch.testing.assert_close(divergence, spread / 2, rtol=1e-2, atol=0)


def test_no_two_first_directions_are_much_alike():
    torch.manual_seed(2)
    x = torch.randn(40, D_IN).repeat_interleave(5, 0) + torch.randn(200, D_IN) * 0.01
    rows = initial(x, 100, K)["W_dec"]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(100))
    directions = (x - x.mean(0)) / (x - x.mean(0)).norm(dim=1, keepdim=True)
    slow = []
    for direction in directions:
        if all(direction @ other < 0.6 for other in slow):
            slow.append(direction)
    assert len(slow) <= 40
    kept = spread_out(directions, 100, 0.6, batch=64)
    assert (kept @ kept.T - torch.eye(len(kept))).max() < 0.6
    torch.testing.assert_close(rows[: len(kept)], kept)


def test_the_first_reconstruction_has_the_right_length():
    torch.manual_seed(3)
    x = torch.randn(500, D_IN) * 3 + torch.randn(D_IN)
    w = initial(x, D_SAE, K)
    a = x @ w["W_enc"] + w["b_enc"]
    rebuilt = (a * (a > batch_topk.batch_threshold(a, K))) @ w["W_dec"]
    left = (x - x.mean(0) - rebuilt).square().sum()
    assert left < (x - x.mean(0)).square().sum()
    for factor in (0.9, 1.1):
        assert left < (x - x.mean(0) - rebuilt * factor).square().sum()
