"""Which pieces text is cut into: a byte-level BPE whose digits stand alone."""

import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, EOS, PAD = 0, 1, 2
SPECIAL = ["<|BOS|>", "<|EOS|>", "<|PAD|>"]  # their places in this list are their ids
SAMPLE_DOCUMENTS, SAMPLE_CHARACTERS = 12_000, 20_000  # enough for stable merges, seconds to train


def train(documents: list[str], size: int = 8192, seed: int = 0) -> Tokenizer:
    """Byte-pair merges counted on a random sample of the documents.

    The sample depends on the order of the documents, and a few merges depend on the sample: two corpora with
    the same documents in another order agree on all but a handful of entries.
    """
    tokenizer = Tokenizer(models.BPE())
    digits, bytes_ = (
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    chosen = random.Random(seed).sample(documents, min(len(documents), SAMPLE_DOCUMENTS))
    tokenizer.train_from_iterator((text[:SAMPLE_CHARACTERS] for text in chosen), trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """A tokenizer.json, refused unless BOS, EOS and PAD have the ids this recipe relies on."""
    tokenizer = Tokenizer.from_file(str(path))
    found = [tokenizer.token_to_id(token) for token in SPECIAL]
    if found != [BOS, EOS, PAD]:
        raise ValueError(f"{path} gives {SPECIAL} the ids {found}; this recipe needs [0, 1, 2].")
    return tokenizer
