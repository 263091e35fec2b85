"""What the programs of both peers need: the made model in transformer_lens, the tokens, and the way back to saeviz.

Run by the peer's own Python, which knows nothing of saeviz.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformer_lens import HookedTransformerConfig
from transformers import PreTrainedTokenizerFast

HOOK = "blocks.0.mlp.hook_post"
BLOCK = 256  # features at a time: the peers' own default


def asked():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="with model/, sae/ and rows.npy")
    parser.add_argument("features", help="feature numbers with commas")
    parser.add_argument("rows", type=int)
    parser.add_argument("out", type=Path)
    return parser.parse_args()


def open_model(kind, folder: Path):
    """The model as its users have it, norms folded; the unembedding is not centred, so that logits can be compared."""
    config = json.loads((folder / "config.json").read_text())
    names = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab", "act_fn", "normalization_type")
    model = kind(
        HookedTransformerConfig(**{name: config[name] for name in names}, eps=config["eps"], device="cpu"),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(str(folder)),
    )
    state = {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}
    model.load_and_process_state_dict(state, center_unembed=False)
    return model


def open_rows(folder: Path, count: int) -> torch.Tensor:
    return torch.tensor(np.load(folder / "rows.npy")[:count].astype(np.int64))


def measured(run, features: list[int]):
    """What `run` returns for all features, its seconds, and those for two features alone; a first run is not timed."""
    run(features[:1])
    start = time.perf_counter()
    run(features[:2])
    middle = time.perf_counter()
    result = run(features)
    return result, time.perf_counter() - middle, middle - start


def histogram(data) -> dict:
    return dict(counts=data.bar_heights, middles=data.bar_values, title=data.title)


def logits(table) -> dict:
    return dict(
        positive=list(zip(table.top_token_ids, table.top_logits, strict=True)),
        negative=list(zip(table.bottom_token_ids, table.bottom_logits, strict=True)),
    )


def write(path: Path, features: dict, seconds: float, seconds_of_two: float) -> None:
    threads = torch.get_num_threads()
    path.write_text(
        json.dumps(dict(seconds=seconds, seconds_of_two=seconds_of_two, threads=threads, features=features))
    )
