"""Files of strangers are read within bounds, and what is no file of settings is refused in a sentence."""

import os

import pytest

from features.engine.foreign_files import Unreadable, panics_as, read_object
from features.engine.model.config import ModelError, dimensions, read_config
from features.engine.model.hook_points import hook_widths
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError
from features.engine.text.tokenizer_file import TokenizerMissing, read_settings, read_tokenizer
from features.storage import files

HOSTILE = {
    "deep": ("[" * 100_000, "brackets inside brackets"),
    "nested": ('{"a":' * 500 + "1" + "}" * 500, "brackets inside brackets"),
    "list": ("[1]", "holds a list"),
    "number": ("7", "holds a int"),
    "latin-1": (b'{"a": "\xe9"}', "is no JSON"),
    "digits": ('{"n_layers": ' + "9" * 5000 + "}", "is no JSON"),
    "long": (" " * (1 << 24) + "{}", "at most 16,777,216"),
    "pipe": (None, "no regular file"),
}


class PanicException(BaseException):
    """As pyo3 makes one for each library."""


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_file_of_settings_is_refused_in_a_sentence(tmp_path, name):
    content, words = HOSTILE[name]
    for file in ("config.json", "tokenizer_config.json", "cfg.json"):
        if content is None:
            os.mkfifo(tmp_path / file)
        else:
            (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Unreadable, match=words):
        read_object(tmp_path / "config.json")
    with pytest.raises(ModelError, match=words):
        read_config(tmp_path)
    with pytest.raises(TokenizerMissing, match=words):
        read_settings(tmp_path / "tokenizer_config.json")
    assert dimensions(tmp_path) == {} == hook_widths(tmp_path)


@pytest.mark.parametrize(
    "config",
    ['{"n_layers": 100000000, "d_model": 8}', '{"text_config": {"num_hidden_layers": 1e8, "n_layer": 20000}}'],
)
def test_a_model_of_more_layers_than_any_has_is_refused(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError, match="at most 10,000"):
        read_config(tmp_path)
    assert hook_widths(tmp_path) == {}


def test_pipes_in_place_of_weights_and_tokenizers_are_not_waited_for(tmp_path):
    for name in ("tokenizer.json", "model.safetensors"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(TokenizerMissing, match="no regular file"):
        read_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match="neither a file nor a folder"):
        CheckpointContents(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    row = type("Row", (), {"path": str(tmp_path), "model_path": str(tmp_path)})
    assert "is no regular file" in next(files.complaints(row))[0]


def test_a_panic_of_another_language_becomes_an_exception():
    with (
        pytest.raises(ValueError, match=r"The tokenizer broke. \(index out of bounds\)"),
        panics_as(ValueError, "The tokenizer broke."),
    ):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), panics_as(ValueError, "x"):
        raise KeyboardInterrupt
