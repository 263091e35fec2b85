"""How do the published files of GELU-1L become a model folder, and its corpus the rows it was read on?"""

import json
import shutil
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from ..engine.corpus.columns import read_parquet
from ..engine.corpus.notes import Notes
from ..engine.corpus.text_field import TextField
from ..engine.corpus.token_rows import save_rows
from ..engine.files import whole_folder

PARTS = 20  # pieces that a batch of documents was cut into before it was tokenised
BATCH = 1000  # documents
LENGTH, SEED = 128, 42
NAMES = ("n_layers", "d_model", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only")
UNUSED = ("attn.mask", "attn.IGNORE")  # constants that transformer_lens once stored with the weights
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def convert_model(config, weights, tokenizer, folder) -> Path:
    """A model folder of `config.json`, `model_final.pth` and a folder with the tokenizer. Whole or not at all.

    The eps of the LayerNorms is 1e-5 whatever the file says: transformer_lens has never read it from there.
    """
    import torch
    from safetensors.torch import save_file

    folder = Path(folder)
    if (folder / "config.json").is_file():
        return folder
    with whole_folder(folder) as part:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
        used = {name: w.float().contiguous() for name, w in stored.items() if not name.endswith(UNUSED)}
        save_file(used, part / "model.safetensors")
        for name in TOKENIZER:
            shutil.copyfile(Path(tokenizer) / name, part / name)
        said = json.loads(Path(config).read_text())
        kept = {name: said[name] for name in NAMES if name in said}
        kept |= {"normalization_type": said.get("normalization") or "LN", "eps": 1e-5}
        (part / "config.json").write_text(json.dumps(kept, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
    return folder


def write_published_rows(texts: list[Path], folder: Path, target: Path) -> None:
    """`published_rows` of parquet files, at `target`. Raises CorpusError."""
    documents = [text for file in texts for text, _ in read_parquet(file, TextField(), Notes())]
    save_rows(target, published_rows(documents, folder))


def published_rows(documents: list[str], folder) -> np.ndarray:
    """Token rows as transformer_lens made them when the pages were published. [rows, length]

    Documents are joined by EOS a thousand at a time, cut into twenty pieces of text, tokenised, and cut into rows
    behind BOS; the rows are shuffled as `datasets` does with seed 42. A token may be cut where pieces meet.
    """
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    said = json.loads((Path(folder) / "tokenizer_config.json").read_text())
    eos, bos = said["eos_token"], tokenizer.token_to_id(said["bos_token"])
    batches = [documents[start : start + BATCH] for start in range(0, len(documents), BATCH)]
    rows = np.concatenate([_rows(tokenizer, eos.join(batch), LENGTH - 1) for batch in batches])
    rows = np.insert(rows, 0, bos, axis=1)
    order = np.random.default_rng(SEED).permutation(len(rows))
    return rows[order].astype(np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32)


def _rows(tokenizer, text: str, length: int) -> np.ndarray:
    size = (len(text) - 1) // PARTS + 1
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    encoded = tokenizer.encode_batch(pieces, add_special_tokens=False)
    ids = np.concatenate([np.array(piece.ids, dtype=np.int64) for piece in encoded])
    return ids[: len(ids) // length * length].reshape(-1, length)
