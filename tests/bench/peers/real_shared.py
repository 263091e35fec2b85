"""What the programs of `python -m tests.bench real` share: a model in transformers, activations, what an SAE does.

Run by a peer's own Python, which knows nothing of saeviz: plain torch in float32, an SAE as two functions.
"""

import argparse
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

BATCH = 8  # rows in one forward


def asked():
    parser = argparse.ArgumentParser()
    parser.add_argument("do", choices=["train", "measure"])
    parser.add_argument("model", type=Path)
    parser.add_argument("module", help="whose output is read, as transformers names it")
    parser.add_argument("rows", type=Path, help=".npy of token ids [rows, length], each row beginning with BOS")
    parser.add_argument("sae", type=Path, help="the folder that is written, or read")
    parser.add_argument("out", type=Path, nargs="?", help="measure: .npz of what was found")
    parser.add_argument("--d-sae", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=1024, help="tokens of a training step")
    return parser.parse_args()


def open_model(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def open_rows(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(path).astype(np.int64))


@contextmanager
def at_output(model, module: str, change):
    """While it lasts, `change(output [batch, seq, d])` takes the place of the module's output, unless it is None."""

    def hook(_module, _inputs, output):
        first = output[0] if isinstance(output, tuple) else output
        changed = change(first)
        if changed is None:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = model.get_submodule(module).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class Reached(Exception):
    """The module has returned: what comes after it need not be computed."""


@torch.no_grad()
def activations(model, module: str, rows: torch.Tensor) -> torch.Tensor:
    """The module's output on rows [n, length]. [n, length, d]"""
    found = []

    def keep(output):
        found.append(output)
        raise Reached

    with at_output(model, module, keep):
        for start in range(0, len(rows), BATCH):
            with suppress(Reached):
                model(rows[start : start + BATCH])
    return torch.cat(found)


def training_batches(model, module: str, rows: torch.Tensor, batch: int):
    """Activations of tokens other than BOS, shuffled, over and over. Yields [batch, d] for ever"""
    generator = torch.Generator().manual_seed(0)
    h = activations(model, module, rows)[:, 1:].flatten(0, 1)  # [tokens, d]
    while True:
        for chosen in torch.randperm(len(h), generator=generator).split(batch):
            if len(chosen) == batch:
                yield h[chosen]


@torch.no_grad()
def measure(model, module: str, rows: torch.Tensor, encode, decode, out: Path) -> None:
    """Active entries, explained variance and losses of an SAE given as two functions; BOS is read but not counted.

    encode(h [tokens, d]) -> [tokens, d_sae]; decode(f) -> [tokens, d]
    """
    h = activations(model, module, rows)[:, 1:].flatten(0, 1)
    f = torch.cat([encode(part) for part in h.split(512)])
    error = sum(
        float((part - decode(acts)).double().square().sum())
        for part, acts in zip(h.split(512), f.split(512), strict=True)
    )
    total = float((h.double() - h.double().mean(0)).square().sum())
    tokens, features = f.nonzero(as_tuple=True)
    replaced = lambda x: decode(encode(x.flatten(0, 1))).view_as(x)  # noqa: E731
    np.savez(
        out,
        shape=f.shape,
        tokens=tokens.numpy(),
        features=features.numpy(),
        values=f[tokens, features].numpy(),
        explained_variance=1 - error / total,
        losses=[mean_loss(model, module, rows, change) for change in (lambda x: None, replaced, torch.zeros_like)],
    )


def mean_loss(model, module: str, rows: torch.Tensor, change) -> float:
    """Of every next token, in nats."""
    total = 0.0
    with at_output(model, module, change):
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            logits = model(part).logits[:, :-1].flatten(0, 1).float()
            total += float(F.cross_entropy(logits, part[:, 1:].flatten(), reduction="sum"))
    return total / rows[:, 1:].numel()
