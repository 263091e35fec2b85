"""What cannot be seen is spelled, and nothing else is."""

import unicodedata

import pytest

from features.engine.text.invisible import visible

DRAWN = (
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u0890\u0891\u08e2\U000110bd\U000110cd"  # format characters with a sign
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a\n\tb\r", "a⏎⇥b␍"),
        ("soft\u00adhyphen, no\u00a0break, \ufeffmark", "soft⟨U+00AD⟩hyphen, no⟨U+00A0⟩break, ⟨U+FEFF⟩mark"),
        ("a\u202edcba\u202c", "a⟨U+202E⟩dcba⟨U+202C⟩"),
        ("\x00\x1b\x7f\x85", "␀␛␡⟨U+0085⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("naïve 日本 🎉 שלום e\u0301", "naïve 日本 🎉 שלום e\u0301"),
    ],
)
def test_each_kind(text, spelled):
    assert visible(text) == spelled


def test_the_table_has_every_control_separator_and_format_character_that_is_not_drawn():
    invisible = {"Cc", "Cf", "Zs", "Zl", "Zp"}
    kinds = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in invisible}
    assert [c for c in kinds - {" ", *DRAWN} if visible(c) == c] == []
    assert [c for c in DRAWN if visible(c) != c] == []
