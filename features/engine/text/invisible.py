"""How is text written that cannot be seen? One rule for pages and scripts: static/shared/text.js reads this table."""

import re

# First and last of each range of characters that leave no mark, or look like an ordinary space: controls, spaces but
# U+0020, line separators, joiners, marks of direction, variation selectors, fillers (Unicode 16: Cc, Cf, Zs, Zl, Zp and
# Default_Ignorable_Code_Point, without the signs among them that are drawn, such as U+0600).
RANGES = (
    *((0x00, 0x1F), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x70F, 0x70F), (0x115F, 0x1160)),
    *((0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F)),
    *((0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0)),
    *((0xFFF0, 0xFFFB), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
PICTURES = {"\n": "⏎", "\r": "␍", "\t": "⇥", "\x7f": "␡"}  # the other controls below U+0020 have one at U+2400 on
TABLE = {"ranges": RANGES, "pictures": PICTURES}
_INVISIBLE = re.compile(f"[{''.join(f'{re.escape(chr(a))}-{re.escape(chr(b))}' for a, b in RANGES)}]")


def visible(text: str) -> str:
    """The text with everything that cannot be seen spelled: ⏎, ␀, ⟨U+200B⟩; spaces stay spaces."""
    return _INVISIBLE.sub(_spelled, text)


def _spelled(match: re.Match) -> str:
    character = match[0]
    if character in PICTURES:
        return PICTURES[character]
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"
