"""Is the trained network the one that transformer_lens loads, and is its gradient the true one?"""

import torch
import torch.nn.functional as F

from features.demo.making import language_model as lm


def batch(shape, rows=3):
    return torch.randint(3, shape.d_vocab, (rows, shape.n_ctx), generator=torch.Generator().manual_seed(1))


def test_loss_and_gradients_are_those_of_plain_cross_entropy(shape, weights, monkeypatch):
    monkeypatch.setattr(lm, "CHUNK", 10)  # several chunks, the last one short
    tokens, trained = batch(shape), [w.requires_grad_() for w in weights.values()]
    ours = lm.loss(weights, tokens)
    plain = F.cross_entropy(lm.logits(weights, tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(ours, plain)
    for got, expected in zip(torch.autograd.grad(ours, trained), torch.autograd.grad(plain, trained), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_exported_model_has_the_same_logits_here_and_in_transformer_lens(shape, weights, tmp_path):
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    rounded = {name: w.half().float() for name, w in weights.items()}
    lm.export(tmp_path, weights, shape)
    again, loaded_shape = lm.load(tmp_path)
    assert loaded_shape == shape
    tokens = batch(shape)
    expected = lm.logits(rounded, tokens)
    torch.testing.assert_close(lm.logits(again, tokens), expected, rtol=0, atol=0)

    sizes = {name: getattr(shape, name) for name in lm.Shape.__dataclass_fields__}
    config = TransformerBridgeConfig(
        n_layers=1,
        act_fn="gelu",
        attn_only=False,
        normalization_type="LN",
        eps=lm.EPS,
        positional_embedding_type="standard",
        architecture="TransformerLensNative",
        init_weights=False,
        **sizes,
    )
    bridge = boot(config, tokenizer=None, device="cpu", model_name="tiny")
    bridge.load_state_dict(convert_tl_checkpoint(again, config), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(bridge(tokens), expected, rtol=1e-4, atol=1e-4)


def test_neurons_can_be_replaced(shape, weights):
    tokens, seen = batch(shape), []
    kept = lm.logits(weights, tokens, edit=lambda h: seen.append(h) or h)
    torch.testing.assert_close(kept, lm.logits(weights, tokens))
    torch.testing.assert_close(seen[0], lm.neurons(weights, lm.attend(weights, tokens, torch.float32)))
    assert not torch.allclose(lm.logits(weights, tokens, edit=torch.zeros_like), kept)
