"""Files that somebody made to hurt whoever opens them: small on the disk, large or endless in memory and time."""

import gzip
import json
import os
import shutil
import struct
from pathlib import Path

import torch

from tests.engine import small

ENDLESS = "the wind in the pines "


def tokenizer(folder: Path) -> Path:
    """A model's folder whose tokenizer writes two thousand letters for one, three times over."""
    small.write_model(folder, 1)
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    steps = [{"type": "Replace", "pattern": {"String": letter}, "content": letter * 2000} for letter in "eea"]
    path.write_text(json.dumps(said | {"normalizer": {"type": "Sequence", "normalizers": steps}}))
    return folder


def panics(folder: Path) -> Path:
    """A model's folder whose tokenizer makes its library panic, which is no Exception."""
    small.write_model(folder, 1)
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"pre_tokenizer": {"type": "FixedLength", "length": 0}}))
    return folder


def parquet(file: Path) -> Path:
    """3 GB of text in a few kB."""
    import pyarrow as arrow
    import pyarrow.parquet as q

    text = arrow.array([ENDLESS * 50_000])  # 1.1 MB, once in the file
    indices = arrow.array([0] * 3000, arrow.int32())
    table = arrow.table({"text": arrow.DictionaryArray.from_arrays(indices, text)})
    q.write_table(table, file, compression="zstd")
    return file


def archive(file: Path) -> Path:
    """4 GB of one letter, in 4 MB: forty times the same member of a gzip file."""
    member = gzip.compress(b"a" * 100_000_000, compresslevel=9)
    file.write_bytes(member * 40)
    return file


def strides(file: Path) -> Path:
    """An SAE of 20,000 x 20,000 in 2 kB: one number, and strides of 0."""
    one = torch.ones(1)
    wide = one.as_strided((20_000, 20_000), (0, 0))
    line = one.as_strided((20_000,), (0,))
    torch.save({"W_enc": wide, "W_dec": wide, "b_enc": line, "b_dec": line}, file)
    return file


def header(file: Path, size: int = 100_000_000) -> Path:
    """A file of safetensors that is all header: names of tensors of no numbers, as many as are allowed."""
    entry = '"%08d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    count = (size - 2) // (len(entry % 0) + 1)
    said = "{" + ",".join(entry % n for n in range(count)) + "}"
    file.write_bytes(struct.pack("<Q", len(said)) + said.encode())
    return file


def directory(file: Path, members: int = 500_000) -> Path:
    """A zip that lists so many members without a byte: 27 MB, which are 250 MB in memory."""
    name, zero = b"%07d.npy", struct.pack("<III", 0, 0, 0)
    front = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 0, 0, 0) + zero + struct.pack("<HH", 11, 0) + name % 0
    each = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 0, 0, 0) + zero + struct.pack("<HHHHHII", 11, *[0] * 6)
    listed = b"".join(each + name % n for n in range(members))
    place, ones = len(front) + len(listed), (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    twin = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, members, members, len(listed), len(front))
    ends = b"PK\6\6" + twin + b"PK\6\7" + struct.pack("<IQI", 0, place, 1)
    file.write_bytes(front + listed + ends + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, *ones, 0))
    return file


def deep(file: Path) -> Path:
    file.write_text("[" * 100_000 + "]" * 100_000)
    return file


def config(folder: Path, **said) -> Path:
    """A model's folder with the same weights, and a config that says something else."""
    small.write_model(folder, 1)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    return folder


def pipe(folder: Path) -> Path:
    """A model's folder whose config nobody ever writes to its end."""
    small.write_model(folder, 1)
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    return folder


# Language models, as transformers and transformer_lens would open them


LLAMA = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=512, intermediate_size=512, vocab_size=300,
    num_hidden_layers=1, num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=64,
)  # fmt: skip


def hollow(folder: Path, weights: dict | None = None, **said) -> Path:
    """A folder of a Llama, its config, and a pickle of `weights`; what is missing its library would make up."""
    folder.mkdir(parents=True)
    small.write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(LLAMA | said))
    torch.save(weights or {"lm_head.weight": torch.zeros(300, 512)}, folder / "pytorch_model.bin")
    return folder


def models(root: Path) -> dict[str, Path]:
    """{what it does: folder} of language models' weights that take far more than they have."""
    wide = torch.zeros(1).as_strided((16_384, 16_384), (0, 0))
    layers = {f"model.layers.{n}.self_attn.{name}_proj.weight": wide for n in range(8) for name in "qkvo"}
    large = dict(hidden_size=16_384, intermediate_size=8, num_attention_heads=128, num_key_value_heads=128)
    found = {
        "layers that no file has": hollow(root / "layers", num_hidden_layers=6000),
        "heads of 2^17": hollow(root / "heads", head_dim=1 << 17, num_hidden_layers=4),
        "strides of 0 in a pickle": hollow(root / "strides", layers, num_hidden_layers=8, **large),
        "a quantised lie": hollow(
            root / "quantised", head_dim=1 << 17, quantization_config={"quant_method": "fp8", "bits": 1}
        ),
        "positions of 2^31": config(root / "positions", n_layers=2, n_ctx=2**31 - 1),
        "a head of the width of its layers": config(root / "d_head", n_layers=2, d_head=1 << 24),
    }
    long = config(root / "header", n_layers=2)
    header(long / "model.safetensors")
    stolen = hollow(root / "pickle")
    (stolen / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + os.fsencode(root / "ran") + b"'\ntR.")
    return found | {"a header of 100 MB": long, "a program in a pickle": stolen}


def remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
