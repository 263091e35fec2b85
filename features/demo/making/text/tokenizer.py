"""Which tokens is text cut into? Those of a byte-level BPE whose digits stand alone.

Sennrich et al., "Neural machine translation of rare words with subword units" (2016); on bytes: Radford et al.,
"Language models are unsupervised multitask learners" (2019).
"""

import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from features.engine.model.vocabulary import Vocabulary

from ..checkpoints import write_json

BOS, EOS, PAD = 0, 1, 2
SPECIAL = ["<|BOS|>", "<|EOS|>", "<|PAD|>"]  # their places in this list are their ids
SAMPLE_DOCUMENTS, SAMPLE_CHARACTERS = 12_000, 20_000  # enough for stable merges, seconds to train
FILES = ("tokenizer.json", "tokenizer_config.json")
CONFIG = {
    "backend": "tokenizers",
    "bos_token": SPECIAL[BOS],
    "eos_token": SPECIAL[EOS],
    "pad_token": SPECIAL[PAD],
    "tokenizer_class": "TokenizersBackend",
}


def train(documents: list[str], size: int = 8192, seed: int = 0) -> Tokenizer:
    """Byte-pair merges counted on a random sample of the documents.

    The sample depends on the order of the documents, and a few merges depend on the sample: two corpora with
    the same documents in another order agree on all but a handful of entries.
    """
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, to_bytes])
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


def write(folder: Path, tokenizer: Tokenizer) -> None:
    """FILES, as transformers and the engine's Vocabulary read them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / FILES[0]))
    write_json(folder / FILES[1], CONFIG)


def read(folder: Path) -> Vocabulary:
    """What `write` wrote. Raises ValueError unless BOS, EOS and PAD have the ids 0, 1 and 2."""
    vocabulary = Vocabulary.load(folder)
    found = [vocabulary.tokenizer.token_to_id(token) for token in SPECIAL]
    if found != [BOS, EOS, PAD]:
        raise ValueError(f"{folder / FILES[0]} gives {SPECIAL} the ids {found}; the demo needs [0, 1, 2].")
    return vocabulary
