"""BOS and EOS are the tokens that the model's files name; where none does, and where a file is broken, it is said."""

import json

import pytest
from tokenizers import Tokenizer, models

from features.engine.model.vocabulary import TokenizerMissing, Vocabulary

WORDS = ["<|begin|>", "<|end|>", "</s>", "the", "<|extra|>"]


@pytest.fixture
def folder(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="the"))
    tokenizer.add_special_tokens(["<|begin|>", "<|extra|>"])
    tokenizer.add_tokens(["<|end|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def write(folder, name, settings):
    (folder / name).write_text(settings if isinstance(settings, str) else json.dumps(settings))


@pytest.mark.parametrize(
    ("config", "map", "model", "ids"),
    [
        ({"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}, None, {}, (0, 1)),
        ({"eos_token": "<|end|>"}, {"bos_token": {"content": "<|begin|>"}, "eos_token": "</s>"}, {}, (0, 1)),
        ({"eos_token": None}, {"eos_token": "<|end|>"}, {}, (None, 1)),
        (None, None, {"bos_token_id": 0, "eos_token_id": [4, 0]}, (0, 4)),
        ({"bos_token": None}, None, {"bos_token_id": 0, "eos_token_id": 2}, (None, None)),
        ({"bos_token": "<|elsewhere|>"}, None, {"bos_token_id": 0}, (None, None)),
    ],
)
def test_the_files_are_asked_in_their_order(folder, config, map, model, ids):
    files = {"tokenizer_config.json": config, "special_tokens_map.json": map, "config.json": model}
    for name, settings in files.items():
        if settings is not None:
            write(folder, name, settings)
    vocabulary = Vocabulary.load(folder)
    assert (vocabulary.bos_id, vocabulary.eos_id) == ids
    assert vocabulary.special == {0, 4} | {id for id in ids if id is not None}


def test_a_named_token_that_is_not_there_is_told(folder):
    write(folder, "tokenizer_config.json", {"eos_token": "<|stop|>"})
    assert Vocabulary.load(folder).eos.said == (
        "tokenizer_config.json names <|stop|>, which tokenizer.json does not have"
    )


def test_byte_order_marks_are_skipped(folder):
    write(folder, "tokenizer_config.json", "\ufeff" + json.dumps({"bos_token": "<|begin|>"}))
    (folder / "tokenizer.json").write_bytes(b"\xef\xbb\xbf" + (folder / "tokenizer.json").read_bytes())
    assert Vocabulary.load(folder).bos_id == 0


@pytest.mark.parametrize("settings", ['{"bos_token"', "[1]", '{"bos_token": 3}', "\x00"])
@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_a_file_that_does_not_parse_is_an_error_and_never_no_bos(folder, name, settings):
    write(folder, name, settings)
    with pytest.raises(TokenizerMissing, match=name):
        Vocabulary.load(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("<!DOCTYPE html>", "is a web page"),
        ('{"bos_token": "<s>"}', r"JSON with bos_token, which is no tokenizer"),
        ("", "is empty"),
    ],
)
def test_a_file_in_place_of_the_tokenizer_is_named(folder, content, said):
    write(folder, "tokenizer.json", content)
    with pytest.raises(TokenizerMissing, match=f"No usable tokenizer.json .*{said}"):
        Vocabulary.load(folder)


def test_a_folder_with_another_form_of_tokenizer_is_told_the_line_that_saves_it(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(
        TokenizerMissing, match=r"it has vocab.json.*AutoTokenizer.from_pretrained\(.*\).save_pretrained"
    ):
        Vocabulary.load(tmp_path)
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(TokenizerMissing, match="is a folder"):
        Vocabulary.load(tmp_path)
