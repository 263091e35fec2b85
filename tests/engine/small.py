"""A model, an SAE and a corpus small enough for a naive twin to go through every entry."""

import json

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

D_MODEL, HEADS, D_HEAD, D_MLP, D_SAE, LENGTH = 16, 2, 8, 24, 40, 32
HOOK = "blocks.0.mlp.hook_post"
SPECIALS = ("<|BOS|>", "<|EOS|>", "<|PAD|>")


def write_tokenizer(folder) -> int:
    """A byte-level tokenizer without merges; returns its size."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*SPECIALS, *alphabet, "Ġthe", "Ġw", "in"]
    tokenizer = Tokenizer(models.BPE({w: n for n, w in enumerate(words)}, [("i", "n"), ("Ġ", "w")]))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIALS[0], "eos_token": SPECIALS[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(words)


def write_model(folder, n_layers: int = 1, seed: int = 0) -> dict:
    """A random model in transformer_lens's names, with norms and biases that matter. Returns its config."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab = write_tokenizer(folder)
    g = torch.Generator().manual_seed(seed)

    def draw(*shape, size=1.0):
        return torch.randn(*shape, generator=g) * size

    weights = {"embed.W_E": draw(vocab, D_MODEL), "pos_embed.W_pos": draw(LENGTH, D_MODEL, size=0.3)}
    for block in (f"blocks.{n}." for n in range(n_layers)):
        for name in "QKV":
            weights[f"{block}attn.W_{name}"] = draw(HEADS, D_MODEL, D_HEAD, size=0.4)
            weights[f"{block}attn.b_{name}"] = draw(HEADS, D_HEAD, size=0.2)
        weights |= {
            f"{block}attn.W_O": draw(HEADS, D_HEAD, D_MODEL, size=0.4),
            f"{block}attn.b_O": draw(D_MODEL, size=0.2),
            f"{block}mlp.W_in": draw(D_MODEL, D_MLP, size=0.4),
            f"{block}mlp.b_in": draw(D_MLP, size=0.2),
            f"{block}mlp.W_out": draw(D_MLP, D_MODEL, size=0.4),
            f"{block}mlp.b_out": draw(D_MODEL, size=0.2),
        }
        for norm in ("ln1", "ln2"):
            weights |= {f"{block}{norm}.w": 1 + draw(D_MODEL, size=0.2), f"{block}{norm}.b": draw(D_MODEL, size=0.2)}
    weights |= {
        "ln_final.w": 1 + draw(D_MODEL, size=0.2),
        "ln_final.b": draw(D_MODEL, size=0.2),
        "unembed.W_U": draw(D_MODEL, vocab, size=0.25),
        "unembed.b_U": draw(vocab, size=0.3),
    }
    save_file(weights, folder / "model.safetensors")
    config = dict(
        n_layers=n_layers, d_model=D_MODEL, n_heads=HEADS, d_head=D_HEAD, d_mlp=D_MLP, n_ctx=LENGTH, d_vocab=vocab,
        act_fn="gelu", normalization_type="LN", eps=1e-5, positional_embedding_type="standard", attn_only=False,
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return config


def write_sae(folder, hook: str = HOOK, d_in: int = D_MLP, seed: int = 1, dead: tuple[int, ...] = (3,)) -> None:
    """A random ReLU SAE in SAELens's layout: sparse, with a pre-bias, and features that never fire."""
    folder.mkdir(parents=True, exist_ok=True)
    g = torch.Generator().manual_seed(seed)
    W_dec = torch.randn(D_SAE, d_in, generator=g)
    W_dec *= torch.rand(D_SAE, 1, generator=g) + 0.5
    b_enc = -1.2 - 2 * torch.rand(D_SAE, generator=g)
    b_enc[list(dead)] = -1e4
    weights = {
        "W_enc": W_dec.t() * 0.6 + 0.1 * torch.randn(d_in, D_SAE, generator=g),
        "W_dec": W_dec,
        "b_enc": b_enc,
        "b_dec": 0.1 * torch.randn(d_in, generator=g),
    }
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "sae_weights.safetensors")
    config = dict(
        architecture="standard", d_in=d_in, d_sae=D_SAE, dtype="float32", apply_b_dec_to_input=True,
        normalize_activations="none", metadata=dict(model_name="small", hook_name=hook, prepend_bos=True),
    )  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def corpus_rows(vocab: int, count: int = 30, seed: int = 2) -> np.ndarray:
    """Random rows with BOS in front, now and then an EOS, and text that repeats."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(3, vocab, (count, LENGTH)).astype(np.uint16)
    rows[:, 0] = 0
    rows[::4, 17] = 1
    rows[1::3, 5:28] = rows[0, 5:28]
    return rows
