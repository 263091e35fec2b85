"""A hub's folder with all files of GELU-1L at their real shapes: model, tokenizer, two SAEs, corpus. None is real.

`write(folder)` takes some three minutes for the real shape; a folder that is there is kept. With `vocabulary`, a
file {id: token} of the published tokenizer, that tokenizer is rebuilt; else text is read byte by byte.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from features.engine.corpus.documents import read_documents
from features.engine.model.language_model import load_model
from features.gelu1l import download
from features.gelu1l.convert import published_rows
from features.importing import demo
from tests.bench.gelu1l_shape import activations, first_of_each_token
from tests.bench.made_model import SPECIALS, Shape, write_model
from tests.bench.made_sae import make_sae, target_densities

DOCUMENTS, CHARACTERS = 20_000, 640
SAMPLE_ROWS, POOL_ROWS = 512, 160  # rows of 127 tokens that the SAEs' densities are set on, and are made of
SPECIAL_NAMES = dict(zip(("eos_token", "bos_token", "pad_token"), SPECIALS, strict=True))


def write(root: Path, shape: Shape | None = None, d_sae: int = 16384, documents=DOCUMENTS, vocabulary=None) -> None:
    """All four repositories below `root`."""
    shape = shape or Shape()
    part = root.with_name(root.name + ".part")
    if root.is_dir():
        return
    shutil.rmtree(part, ignore_errors=True)
    model, tokens, saes, texts = (
        part / name for name in (download.MODEL, download.TOKENS, download.SAES, download.CORPUS)
    )
    for folder in (model, tokens, saes, texts):
        folder.mkdir(parents=True)
    write_model(part / "ours", shape)
    _tokenizer(part / "ours", tokens, vocabulary, shape.d_vocab)
    _model(part / "ours", model, shape)
    documents = _documents(documents)
    pyarrow.parquet.write_table(pyarrow.table({"text": documents}), texts / "train.parquet")
    rows = published_rows(documents, tokens)
    _saes(part / "ours", saes, rows, shape, d_sae)
    shutil.rmtree(part / "ours")
    part.replace(root)


def _documents(count: int) -> list[str]:
    """The demo's text from its beginning, cut into equal pieces."""
    text = "\n\n".join(read_documents(demo.TEXTS).texts)
    return [text[start : start + CHARACTERS] for start in range(0, min(len(text), CHARACTERS * count), CHARACTERS)]


def _model(ours: Path, folder: Path, shape: Shape) -> None:
    """As it was published: float32, the attention's mask beside the weights, no bias of the unembedding."""
    weights = {name: weight.float() for name, weight in load_file(ours / "model.safetensors").items()}
    del weights["unembed.b_U"]
    mask = torch.ones(shape.n_ctx, shape.n_ctx, dtype=torch.bool).tril()
    weights |= {"blocks.0.attn.mask": mask, "blocks.0.attn.IGNORE": torch.tensor(-1e5)}
    torch.save(weights, folder / "model_final.pth")
    said = json.loads((ours / "config.json").read_text())
    said |= {"normalization": said.pop("normalization_type"), "ln_eps": said.pop("eps")}
    (folder / "config.json").write_text(json.dumps(said))


def _saes(ours: Path, folder: Path, rows: np.ndarray, shape: Shape, d_sae: int) -> None:
    model = load_model(ours, "cpu")
    pool = first_of_each_token(model, rows[-POOL_ROWS:])
    sample = activations(model, rows[:SAMPLE_ROWS])
    for seed, (run, _) in enumerate(download.RUNS.values()):
        weights, _ = make_sae(pool, sample, target_densities(d_sae), seed)
        torch.save(weights, folder / f"{run}.pt")
        config = {"d_mlp": shape.d_mlp, "dict_mult": d_sae / shape.d_mlp, "seq_len": 128, "enc_dtype": "fp32"}
        (folder / f"{run}_cfg.json").write_text(json.dumps(config))


def _tokenizer(ours: Path, folder: Path, vocabulary, size: int) -> None:
    """Into the hub's folder, and over the made one, so that the model reads with it."""
    if vocabulary:
        _rebuilt(json.loads(Path(vocabulary).read_text()), size).save(str(folder / "tokenizer.json"))
        shutil.copy(folder / "tokenizer.json", ours)
    else:
        shutil.copy(ours / "tokenizer.json", folder)
    (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL_NAMES))
    said = {"tokenizer_class": "PreTrainedTokenizerFast"} | SPECIAL_NAMES
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def _rebuilt(said: dict, size: int) -> Tokenizer:
    """Byte-level BPE whose merges are told by its tokens: a token's id is the rank of the merge that makes it."""
    tokens = [said[str(n)] for n in range(size)]
    blank = next(n for n in reversed(range(size)) if tokens[n].strip(" ")) + 1  # from here on: runs of blanks
    words = {(t if n < len(SPECIALS) else t.replace(" ", "Ġ")): n for n, t in enumerate(tokens[:blank])}
    ranks = {}
    for word in list(words)[len(SPECIALS) :]:
        parts = _merged(list(word), ranks)
        if len(parts) == 2:
            ranks[tuple(parts)] = len(ranks)
    tokenizer = Tokenizer(models.BPE(words, list(ranks)))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.add_tokens([AddedToken(blanks, normalized=True) for blanks in tokens[blank:]])
    return tokenizer


def _merged(parts: list[str], ranks: dict) -> list[str]:
    """After all merges known so far, earliest first, until two parts are left."""
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda n: ranks.get((parts[n], parts[n + 1]), 1 << 60))
        if (parts[best], parts[best + 1]) not in ranks:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts
