"""Files of others as chance damages them: mutated from whole ones by a seed, read, and what became of each."""

import json
import random
import struct
import traceback
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch

from features.engine.corpus.documents import read_documents
from features.engine.corpus.errors import CorpusError
from features.engine.model.config import ModelError, dimensions, read_config
from features.engine.model.hook_points import hook_widths
from features.engine.model.vocabulary import Vocabulary
from features.engine.sae.checkpoint import CheckpointError, describe, read_sae
from features.engine.text.chat import ChatError, chat_template
from features.engine.text.tokenizer_file import TokenizerMissing

from . import small

REFUSALS = (CheckpointError, TokenizerMissing, CorpusError, ModelError, ChatError)
ODD = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    1e308,
    float("nan"),
    "",
    "x" * 1000,
    "\ud800",
    [],
    [[]],
    {},
    {"a": {}},
    "0",
    1.5,
)
MOST_BYTES = 64 << 20  # of weights


def whole_files(folder: Path) -> dict[str, tuple]:
    """{kind: (file to damage, how it is read)}"""
    small.write_model(folder / "model", 1)
    small.write_sae(folder / "sae")
    model, sae = folder / "model", folder / "sae"
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    torch.save(_four(torch.float32), folder / "a.pt")
    torch.save({"state_dict": _four(torch.float16), "step": 5}, folder / "old.pt", _use_new_zipfile_serialization=False)
    np.savez(folder / "a.npz", **{name: tensor.numpy() for name, tensor in _four(torch.float32).items()})
    table = arrow.table({"text": ["the wind in the pines"] * 50, "id": list(range(50))})
    parquet.write_table(table, folder / "a.parquet")
    with arrow.ipc.new_file(folder / "a.arrow", table.schema) as file:
        file.write_table(table)
    (folder / "a.jsonl").write_text('{"text": "the wind", "meta": {"source": "web"}}\n' * 20)
    (folder / "a.csv").write_text('text,id\n"the wind",1\n' * 20)
    return {
        "config of an SAE": (sae / "cfg.json", lambda: _sae(sae)),
        "safetensors": (sae / "sae_weights.safetensors", lambda: _sae(sae)),
        "pickle": (folder / "a.pt", lambda: _sae(folder / "a.pt")),
        "pickle of old": (folder / "old.pt", lambda: _sae(folder / "old.pt")),
        "npz": (folder / "a.npz", lambda: _sae(folder / "a.npz")),
        "config of a model": (
            model / "config.json",
            lambda: (read_config(model), dimensions(model), hook_widths(model)),
        ),
        "tokenizer": (model / "tokenizer.json", lambda: Vocabulary.load(model).ids("the wind")),
        "tokenizer_config": (model / "tokenizer_config.json", lambda: Vocabulary.load(model)),
        "chat template": (
            model / "chat_template.jinja",
            lambda: (chat_template(model) or str)([{"role": "user", "content": "a"}]),
        ),
    } | {
        name: (folder / name, lambda file=folder / name: read_documents(file))
        for name in ("a.parquet", "a.arrow", "a.jsonl", "a.csv")
    }


def _four(dtype) -> dict:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (8, 16), "W_dec": (16, 8), "b_enc": (16,), "b_dec": (8,)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def _sae(path: Path) -> None:
    answers = {"apply_b_dec_to_input": True} if path.suffix else None
    describe(path, answers, MOST_BYTES)
    read_sae(path, answers=answers, max_bytes=MOST_BYTES)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Another file: a value of its JSON (or of safetensors' header) that is odd, or bytes that are others."""
    if chance.random() < 0.7:
        start = 8 if content[8:9] == b"{" else 0
        end = 8 + struct.unpack("<Q", content[:8])[0] if start else len(content)
        try:
            value = json.loads(content[start:end])
        except ValueError:
            value = None
        if isinstance(value, dict):
            _make_odd(value, chance)
            text = json.dumps(value).encode()
            return struct.pack("<Q", len(text)) + text + content[end:] if start else text
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            found[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del found[at : at + chance.choice((1, 4, 64))]
        elif kind == 2:
            found[at:at] = chance.choice((b"\xff" * 8, b"[" * 200, b"\0" * 16, b'"', b"{{", b"\r\n"))
        else:
            found[at:] = b""
    return bytes(found)


def _make_odd(value, chance: random.Random) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.7:
            value = value[key]
        else:
            break
    if isinstance(value, dict) and chance.random() < 0.2:
        del value[key]
    else:
        value[key] = chance.choice(ODD)


def read_all(folder: str, each: int, say) -> dict[str, list[str]]:
    """{kind: [what was read, refused, or the traceback of anything else]} of `each` damaged files of every kind."""
    outcomes = {}
    for kind, (file, read) in whole_files(Path(folder)).items():
        read()  # whole, it is read
        content, chance, told = file.read_bytes(), random.Random(kind), []
        for number in range(each):
            file.write_bytes(mutated(content, chance))
            say((kind, number))
            told.append(_outcome(read))
        file.write_bytes(content)
        outcomes[kind] = told
    return outcomes


def _outcome(read) -> str:
    try:
        read()
    except REFUSALS as refusal:
        return "refused" if len(str(refusal)) > 20 else f"no sentence: {refusal!r}"
    except BaseException:
        return traceback.format_exc()
    return "read"
