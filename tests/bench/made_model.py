"""A made one-block model of GELU-1L's shape with its tokenizer, and rows of tokens for it to read."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ("<|EOS|>", "<|BOS|>", "<|PAD|>")  # ids 0, 1, 2
BOS = 1
SYLLABLES = [c + v for c in "bcdfghjklmnprstvwxyz" for v in "aeiou"]
FOLLOWS = 0.25  # share of tokens that are what usually follows the token before


@dataclass(frozen=True)
class Shape:
    """GELU-1L's; smaller in tests."""

    d_mlp: int = 2048
    d_model: int = 512
    n_heads: int = 8
    d_head: int = 64
    n_ctx: int = 1024
    d_vocab: int = 48262


def write_model(folder: Path, shape: Shape, seed: int = 0) -> None:
    """A folder that transformer_lens's names and `Subject.load` know, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, shape.d_vocab)
    draw = Draw(seed)
    weights = {**_around_the_block(shape, draw), **_block(shape, draw)}
    save_file({name: weight.half().contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    config = dict(
        n_layers=1, d_model=shape.d_model, n_heads=shape.n_heads, d_head=shape.d_head, d_mlp=shape.d_mlp,
        n_ctx=shape.n_ctx, d_vocab=shape.d_vocab, act_fn="gelu", normalization_type="LN", eps=1e-5,
        positional_embedding_type="standard", attn_only=False,
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


class Draw:
    """Normal numbers of a given size, in a fixed order."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape, size=1.0):
        return torch.randn(*shape, generator=self.generator) * size


def _around_the_block(s: Shape, draw: Draw) -> dict:
    """Embedding, and a head whose bias is the law of the tokens: the model knows at least which are common."""
    return {
        "embed.W_E": draw(s.d_vocab, s.d_model, size=0.5),
        "pos_embed.W_pos": draw(s.n_ctx, s.d_model, size=0.1),
        "ln_final.w": 1 + draw(s.d_model, size=0.1),
        "ln_final.b": draw(s.d_model, size=0.05),
        "unembed.W_U": draw(s.d_model, s.d_vocab, size=s.d_model**-0.5),
        "unembed.b_U": torch.tensor(np.log(law(s.d_vocab).clip(1e-9)), dtype=torch.float32),
    }


def _block(s: Shape, draw: Draw) -> dict:
    """Attention and MLP. Neurons are below zero by default, as trained ones are."""
    block, wide = "blocks.0.", s.d_model**-0.5
    weights = {
        f"{block}attn.W_O": draw(s.n_heads, s.d_head, s.d_model, size=0.5 * (s.n_heads * s.d_head) ** -0.5),
        f"{block}attn.b_O": draw(s.d_model, size=0.05),
        f"{block}mlp.W_in": draw(s.d_model, s.d_mlp, size=wide),
        f"{block}mlp.b_in": draw(s.d_mlp, size=0.3) - 0.7,
        f"{block}mlp.W_out": draw(s.d_mlp, s.d_model, size=s.d_mlp**-0.5),
        f"{block}mlp.b_out": draw(s.d_model, size=0.05),
    }
    for name in "QKV":
        weights[f"{block}attn.W_{name}"] = draw(s.n_heads, s.d_model, s.d_head, size=wide)
        weights[f"{block}attn.b_{name}"] = draw(s.n_heads, s.d_head, size=0.05)
    for norm in ("ln1", "ln2"):
        weights[f"{block}{norm}.w"] = 1 + draw(s.d_model, size=0.1)
        weights[f"{block}{norm}.b"] = draw(s.d_model, size=0.05)
    return weights


def write_tokenizer(folder: Path, size: int) -> None:
    """A byte-level tokenizer of `size` entries: specials, bytes, made-up words. Text is read byte by byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*SPECIALS, *alphabet, *(_word(n) for n in range(size - len(SPECIALS) - len(alphabet)))]
    tokenizer = Tokenizer(models.BPE({word: id for id, word in enumerate(words)}, []))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("eos_token", "bos_token", "pad_token"), SPECIALS, strict=True))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _word(n: int) -> str:
    """The n-th made-up word; two thirds of them begin with a space."""
    base, digits, left = len(SYLLABLES), [], n
    while left or len(digits) < 2:
        left, digit = divmod(left, base)
        digits.append(SYLLABLES[digit])
    return ("Ġ" if n % 3 else "") + "".join(digits)


def law(d_vocab: int) -> np.ndarray:
    """Probability of each token: Zipf's law with Mandelbrot's shift, in a mixed order. Specials have none. [d_vocab]"""
    first = len(SPECIALS)
    ranks = np.random.default_rng(48262).permutation(d_vocab - first) + 1
    weights = np.concatenate([np.zeros(first), 1 / (ranks + 2.7)])
    return weights / weights.sum()


def rows_of(tokens: int, d_vocab: int = 48262, length: int = 128, seed: int = 0) -> np.ndarray:
    """Rows of BOS and `length - 1` tokens each, at least `tokens` of them. [n, length] uint16

    Each token is drawn from `law`, or is what usually follows the one before: context says something.
    Two bytes a token and little more, so 4 million are made in a few seconds.
    """
    rng = np.random.default_rng([seed, 7])
    steps, count = law(d_vocab).cumsum(), -(-tokens // (length - 1))
    usual = _drawn(steps, np.random.default_rng(1), d_vocab)  # one language whatever the seed
    rows = np.full((count, length), BOS, np.uint16)
    for at in range(1, length):
        drawn = _drawn(steps, rng, count)
        rows[:, at] = np.where(rng.random(count) < FOLLOWS, usual[rows[:, at - 1]], drawn)
    return rows


def _drawn(steps: np.ndarray, rng, count: int) -> np.ndarray:
    return np.searchsorted(steps, rng.random(count) * steps[-1], side="right").astype(np.uint16)
