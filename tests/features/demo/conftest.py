"""A corpus of a few made-up sentences, and models small enough to train in a blink."""

import json
import random

import numpy as np
import pytest
import torch

from features.demo.making.model import forward
from features.demo.making.text import documents, tokenizer
from features.engine.corpus.token_rows import build_rows
from features.engine.model.one_layer import OneBlockConfig, OneBlockModel

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
def vocabulary(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write(path, tokenizer.train(list(documents.documents(folder)), size=300))
    return tokenizer.read(path)


@pytest.fixture(scope="session")
def config():
    return OneBlockConfig(d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=300, n_ctx=24)


@pytest.fixture(scope="session")
def token_rows(folder, vocabulary) -> np.ndarray:
    return build_rows(documents.documents(folder), vocabulary, 24)


@pytest.fixture
def weights(config):
    """Random in every entry, so that no term of a formula can hide behind a zero."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(w.shape, generator=generator) * 0.3 + (name[-1] == "w")
        for name, w in forward.initial(config).items()
    }


@pytest.fixture
def model(config, weights) -> OneBlockModel:
    """The engine's model of the same weights."""
    return OneBlockModel(config, weights)
