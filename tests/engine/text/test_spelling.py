"""What a token spells is told by its tokenizer's decoder, whatever its letters look like."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from features.engine.model.vocabulary import CONTINUED, Vocabulary

LETTERS = ["▁", "č", "ğ", "é", "Ġ", "t", "h"]


def sentencepiece(**more):
    words = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), *LETTERS]
    tokenizer = Tokenizer(models.BPE({w: n for n, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def pieces(tokenizer, text):
    vocabulary = Vocabulary(tokenizer)
    return vocabulary.pieces(vocabulary.ids(text, bos=False))


def test_letters_of_the_byte_alphabet_are_letters_where_bytes_are_spelled_in_hex():
    assert pieces(sentencepiece(), "č ğ é Ġ\n€ 日") == [
        *("č", " ", "ğ", " ", "é", " ", "Ġ", "\n", "€", CONTINUED, CONTINUED, " ", "日", CONTINUED, CONTINUED)
    ]


def test_added_tokens_are_blanks_where_they_were_normalised_and_text_elsewhere():
    tokenizer = sentencepiece()
    tokenizer.add_tokens(["▁▁", AddedToken("<0x41>", normalized=False), AddedToken("▁t▁", normalized=False)])
    assert pieces(tokenizer, "č▁▁é<0x41>▁t▁") == ["č", "  ", "é", "<0x41>", "▁t▁"]


def test_a_byte_level_tokenizer_is_one_without_a_decoder_too():
    words = {w: n for n, w in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(False)])
    tokenizer.add_tokens(["é", "<0x41>"])
    assert pieces(tokenizer, "ğ é<0x41>") == ["ğ", CONTINUED, " ", "é", "<0x41>"]


def test_unigram_pieces_keep_their_letters():
    words = [("<unk>", 0.0), ("▁", -1.0), *((w, -2.0) for w in ("é", "ß", "Ġ", "▁the"))]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    assert pieces(tokenizer, "é the ßĠ") == [" ", "é", " the", " ", "ß", "Ġ"]


def test_words_of_wordpiece_stand_apart_and_what_continues_them_does_not():
    words = {w: n for n, w in enumerate(["[UNK]", "play", "##ing", "é", ".", "##é"])}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    assert pieces(tokenizer, "playing é.") == [" play", "ing", " é", "."]


def test_words_that_end_in_a_mark_end_in_a_space():
    words = {w: n for n, w in enumerate(["a", "b</w>", "a</w>", "b"])}
    tokenizer = Tokenizer(models.BPE(words, [], end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.WhitespaceSplit(), decoders.BPEDecoder("</w>")
    assert pieces(tokenizer, "ab a") == ["a", "b ", "a "]


@pytest.mark.parametrize("id", [291, 70_000])
def test_ids_with_holes_are_shown_and_those_without_a_token_are_their_number(id):
    tokenizer = sentencepiece()
    data = json.loads(tokenizer.to_str())
    data["model"]["vocab"]["▁the"] = id
    vocabulary = Vocabulary(Tokenizer.from_str(json.dumps(data)))
    assert vocabulary.size == id + 1 and vocabulary.label(id) == " the"
    assert vocabulary.label(id - 1) == f"[{id - 1}]" and vocabulary.label(id + 9) == f"[{id + 9}]"
    assert vocabulary.pieces([id, id - 1, id + 9]) == [" the", f"[{id - 1}]", f"[{id + 9}]"]
