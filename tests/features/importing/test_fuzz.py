"""Whatever chance makes of a file, it is read or refused with a sentence, in bounded memory and time."""

from collections import Counter

from features.engine.confined.process import Bounds
from features.storage.opened import LOOKS, TEXTS, children
from tests.engine.fuzz import read_all

EACH = 25  # damaged files of every kind


def test_a_damaged_file_is_read_or_refused_with_a_sentence(tmp_path):
    heard = []
    with children.one() as child:
        child.load((*LOOKS, *TEXTS, read_all.__module__))
        bounds = Bounds(memory=200 << 20, seconds=10)
        outcomes = child.ask(read_all, (str(tmp_path), EACH), bounds, "A damaged file", hear=heard.append)
    others = [said for told in outcomes.values() for said in told if said not in ("read", "refused")]
    assert not others, f"{len(others)} others, the first: {others[0]}"
    counts = {kind: Counter(told) for kind, told in outcomes.items()}
    assert all(count["refused"] for count in counts.values()), counts  # what is damaged was noticed
