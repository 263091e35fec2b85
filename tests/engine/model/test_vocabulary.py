"""Tokens read as whole characters, and text comes back from its tokens."""

import json

import pytest

from features.engine.model.vocabulary import CONTINUED, TokenizerMissing, Vocabulary

from .. import small


@pytest.fixture(scope="module")
def vocabulary(small_folder):
    return Vocabulary.load(small_folder / "model")


def test_text_survives_the_way_there_and_back(vocabulary):
    for text in ("plain", " naïve 日本 🎉\n\tx", "\x00\x7f", "‥"):
        ids = vocabulary.ids(text, bos=False)
        assert b"".join(vocabulary.bytes_of(id) for id in ids).decode() == text


def test_a_character_of_several_tokens_stands_on_the_first(vocabulary):
    assert vocabulary.pieces(vocabulary.ids("a日b", bos=False)) == ["a", "日", CONTINUED, CONTINUED, "b"]


def test_half_a_character_is_spelled_not_garbled(vocabulary):
    ids = vocabulary.ids("日🎉", bos=False)
    assert vocabulary.pieces(ids[1:5]) == ["\\x97", "\\xa5", "\\xf0", "\\x9f"]
    assert vocabulary.label(ids[0]) == "\\xe6"


def test_part_of_a_run_reads_as_in_the_whole_of_it(vocabulary):
    ids = vocabulary.ids("日🎉 naïve", bos=False)
    for run in (ids, ids[1:], [*ids[:5], *ids[2:], *ids[1:6]]):
        for start in range(len(run)):
            for stop in range(start, len(run) + 1):
                assert vocabulary.pieces_within(run, start, stop) == vocabulary.pieces(run)[start:stop]


def test_bos_comes_in_front_only_when_asked_for(vocabulary):
    assert vocabulary.ids("w", bos=True)[0] == vocabulary.bos_id == 0
    assert 0 not in vocabulary.ids("w", bos=False)


def test_text_that_spells_a_special_token_is_text(vocabulary):
    ids = vocabulary.ids("<|BOS|>", bos=False)
    assert not set(ids) & vocabulary.special
    assert "".join(vocabulary.pieces(ids)) == "<|BOS|>"


def test_many_texts_at_once_are_tokenised_as_one_by_one(vocabulary):
    texts = ["the win", "", "in the"]
    assert vocabulary.many_ids(texts) == [vocabulary.ids(text, bos=False) for text in texts]


def test_what_the_library_panics_with_is_told(small_folder, monkeypatch):
    class PanicException(BaseException):
        pass

    def broken(*_, **__):
        raise PanicException("index out of bounds")

    vocabulary = Vocabulary.load(small_folder / "model")
    monkeypatch.setattr(vocabulary, "tokenizer", type("Broken", (), {"encode": broken}))
    with pytest.raises(TokenizerMissing, match="tokenizer broke on this text"):
        vocabulary.ids("a")


def test_ids_that_no_table_has_room_for_are_refused(tmp_path):
    small.write_tokenizer(tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    data["model"]["vocab"]["far"] = 2**31
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(TokenizerMissing, match="ids up to 2,147,483,648; up to 2,097,151 are read"):
        Vocabulary.load(tmp_path)


def test_a_folder_without_a_tokenizer_says_so(tmp_path):
    with pytest.raises(TokenizerMissing, match="No usable tokenizer.json"):
        Vocabulary.load(tmp_path)


def test_a_tokenizer_of_another_bos_name_is_understood(tmp_path):
    small.write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": {"content": "<|PAD|>"}}')
    assert Vocabulary.load(tmp_path).bos_id == 2


def test_special_tokens_are_typed_by_choice_and_bos_not_twice(vocabulary):
    assert vocabulary.ids("<|BOS|>in<|EOS|>", special=True) == [0, *vocabulary.ids("in", bos=False), 1]
    assert vocabulary.many_ids(["<|EOS|>"], special=True) == [[1]]
    assert 1 not in vocabulary.ids("<|EOS|>")  # the choice of one text is that of no other


def test_the_token_at_a_character_is_found_whatever_stands_in_front(vocabulary):
    assert vocabulary.index_of_token_at("日 the in", 6) == 8  # 日 is three tokens, "in" is one
    assert vocabulary.index_of_token_at("日 the in", 0) == 0
