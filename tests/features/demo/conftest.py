"""A corpus of a few made-up sentences, and models small enough to train in a blink."""

import json
import random

import numpy as np
import pytest
import torch

from features.demo.making import language_model as lm
from features.demo.making import rows, tokenizer

WORDS = ["the", "a", "cat", "dog", "tree", "1984", "river", "sees", "likes", "red", "old", "of", "in", "and"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    chance, path = random.Random(0), tmp_path_factory.mktemp("corpus")
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(20, 60))) + ".\n" for _ in range(600)]
    (path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:400]))
    (path / "b.txt").write_text("<|endoftext|>".join(texts[400:]))
    return path


@pytest.fixture(scope="session")
def pieces(folder):
    return tokenizer.train(list(rows.documents(folder)), size=300)


@pytest.fixture(scope="session")
def shape():
    return lm.Shape(d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=300, n_ctx=24)


@pytest.fixture(scope="session")
def token_rows(folder, pieces) -> np.ndarray:
    return rows.cut(pieces, rows.documents(folder), 24)


@pytest.fixture
def weights(shape):
    """Random in every entry, so that no term of a formula can hide behind a zero."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(w.shape, generator=generator) * 0.3 + (name[-1] == "w")
        for name, w in lm.initial(shape).items()
    }
