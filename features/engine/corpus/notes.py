"""What was assumed, skipped or mended while texts were read? Counted, and told in sentences."""

from collections import Counter

from ..foreign_files import in_words

SENTENCES = {  # what is counted -> a sentence, with the count and the file's name
    "null": "{n:,} rows of {file} have no text (null) and were skipped.",
    "missing": "{n:,} rows of {file} lack the field of the text and were skipped.",
    "empty": "{n:,} rows of {file} are empty and were skipped.",
    "surrogate": "{n:,} texts of {file} hold half a character (a lone surrogate): U+FFFD stands in its place.",
    "mark": "{n:,} byte-order marks of {file} were left out.",
    "windows": "{file} has Windows' line ends (CRLF); they are read as newlines.",
}
MOST_FILES = 3  # told of one by one; the others together


class Notes:
    """What a reader counts of its file, and what is said of all files."""

    def __init__(self):
        self._counts: dict[str, Counter] = {}
        self._said: list[str] = []
        self.chats = 0  # rows in the form of the template

    def add(self, what: str, file, count: int = 1) -> None:
        """One more of a kind of SENTENCES."""
        self._counts.setdefault(what, Counter())[in_words(file)] += count

    def say(self, sentence: str) -> None:
        """Something that was assumed; each sentence once."""
        if (sentence := in_words(sentence)) not in self._said:
            self._said.append(sentence)

    def sentences(self) -> list[str]:
        """All of them, a kind in at most MOST_FILES sentences."""
        told = list(self._said)
        for what, counts in self._counts.items():
            files = counts.most_common()
            told += [SENTENCES[what].format(n=n, file=file) for file, n in files[:MOST_FILES]]
            if rest := files[MOST_FILES:]:
                others = sum(n for _, n in rest)
                told.append(SENTENCES[what].format(n=others, file=f"{len(rest)} other files"))
        return told
