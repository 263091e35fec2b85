"""Rows of real text with made-up activations, dense and kept: what questions are held against."""

from pathlib import Path

import numpy as np

from features.engine.ask.row_text import TokenBytes, row_texts
from features.engine.model.vocabulary import Vocabulary
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import KeptEntries, write_kept

MODEL = Path(__file__).parents[3] / "features" / "demo" / "model"
LENGTH, D_SAE = 24, 12
DOCUMENTS = [
    'the cat (a small cat, not “the the” cat) sat; The café\'s cat said "I am, the cat" and left. Unclosed (the',
    "Été à la thé: été! naïve cat\u0301 cats concat 的 cat。\n```py\nfor cat in the:\n    print(`cat`)\n```\nUse `cat`",
    "A list [cat, [the, (1999) 2024], { cat }] ) of 1999 and 2024 ” said „the cat“ «cat» the\tCAT_ the-cat\n",
] * 3


def vocabulary():
    return Vocabulary.load(MODEL)


def corpus_rows(vocabulary, documents=DOCUMENTS):
    """Documents with EOS between them, cut into rows with a BOS in front. [rows, LENGTH] uint16"""
    stream = [id for text in documents for id in [*vocabulary.ids(text, bos=False), vocabulary.eos_id]]
    count = len(stream) // (LENGTH - 1)
    rows = np.array(stream[: count * (LENGTH - 1)], np.uint16).reshape(count, LENGTH - 1)
    return np.concatenate([np.full((count, 1), vocabulary.bos_id, np.uint16), rows], axis=1)


def text_of(vocabulary, rows):
    """All rows as one block."""
    (text,) = row_texts(rows, 1, TokenBytes(vocabulary))
    return text


def activations(text):
    """[tokens, D_SAE] float32, 0 on special tokens: dead, everywhere, below 0, rare, equal ones, and chance."""
    rng = np.random.default_rng(3)
    shape = len(text), D_SAE
    dense = rng.choice(np.float32([0.5, 1, 1.5, 2]), shape) * (rng.random(shape) < rng.random(D_SAE) * 0.4)
    dense[:, 0] = 0
    dense[:, 1] = 1 + rng.random(len(text))
    dense[:, 2] *= rng.choice([-1, 1], len(text))
    dense[:, 3] = 0
    dense[[5, 30], 3] = 1  # each in a row of its own
    dense[:, 5] = dense[:, 4]
    return (dense * text.counted[:, None]).astype(np.float32)


def keep(dense, folder):
    """The same as kept entries, of two chunks."""
    with ActiveEntriesWriter(folder / "shard") as writer:
        for first, end in ((0, 40), (40, len(dense))):
            features, tokens = np.nonzero(dense[first:end].T)
            values = dense[first:end].T[features, tokens]
            writer.append(Chunk.of(first, end - first, dense.shape[1], features, tokens, values))
    (folder / "kept").mkdir()
    return KeptEntries.open(folder / "kept", write_kept(folder / "kept", ActiveEntries([folder / "shard"])))
