"""Is the trained network the one that the engine runs, and is its gradient the true one?"""

import torch
import torch.nn.functional as F

from features.demo.making import bundle
from features.demo.making.model import forward, next_token_loss
from features.demo.making.text import tokenizer
from features.engine.model.language_model import load_model


def batch(config, rows=3):
    return torch.randint(3, config.d_vocab, (rows, config.n_ctx), generator=torch.Generator().manual_seed(1))


def test_the_network_in_training_is_the_engines(config, weights, model):
    tokens = batch(config)
    residual = forward.residual_post(weights, tokens, torch.float32)
    hook = forward.neurons(weights, forward.residual_mid(weights, tokens, torch.float32), torch.float32)
    expected = model.activations_and_residual(tokens, "blocks.0.mlp.hook_post")
    torch.testing.assert_close((hook, residual), expected, rtol=1e-5, atol=1e-5)


def test_loss_and_gradients_are_those_of_plain_cross_entropy(config, weights, model, monkeypatch):
    monkeypatch.setattr(next_token_loss, "CHUNK", 10)  # several chunks, the last one short
    tokens, trained = batch(config), [w.requires_grad_() for w in weights.values()]
    ours = next_token_loss.loss(weights, tokens, torch.float32)
    x = forward.normed(weights, "ln_final", forward.residual_post(weights, tokens, torch.float32), torch.float32)
    logits = x @ weights["unembed.W_U"] + weights["unembed.b_U"]
    plain = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(ours, plain)
    residual = model.activations_and_residual(tokens, "blocks.0.mlp.hook_post")[1][:, :-1].flatten(0, 1)
    torch.testing.assert_close(ours, model.unembedding.losses(residual, tokens[:, 1:].flatten()).mean())
    for got, expected in zip(torch.autograd.grad(ours, trained), torch.autograd.grad(plain, trained), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_an_exported_model_is_read_by_the_engine_with_the_same_neurons(config, weights, vocabulary, tmp_path):
    tokenizer.write(tmp_path, vocabulary.tokenizer)
    bundle.write_model(tmp_path, weights, config, tmp_path)
    exported = load_model(tmp_path / "model", "cpu")
    assert exported.config == config
    rounded, tokens = {name: w.half().float() for name, w in weights.items()}, batch(config)
    expected = forward.neurons(rounded, forward.residual_mid(rounded, tokens, torch.float32), torch.float32)
    torch.testing.assert_close(exported.activations(tokens, "blocks.0.mlp.hook_post"), expected, rtol=1e-5, atol=1e-5)
