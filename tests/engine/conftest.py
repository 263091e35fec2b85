"""Small subjects that the engine's tests share."""

import pytest

from features.engine.subject import Subject

from . import small


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A folder with `model` and `sae`."""
    folder = tmp_path_factory.mktemp("small")
    small.write_model(folder / "model")
    small.write_sae(folder / "sae")
    return folder


@pytest.fixture(scope="session")
def subject(small_folder):
    return Subject.load(small_folder / "model", small_folder / "sae", small.HOOK, device="cpu")


@pytest.fixture(scope="session")
def rows(subject):
    return small.corpus_rows(subject.model.d_vocab)
