"""Which features are listed, and in which order? Read from a query string; every state is an address."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict

from .columns import BY_NAME, COLUMNS, DETECTED, Column, chosen
from .ranges import Range

FOUND = "found"  # in addresses: a sort of its own, by the number of examples with the text, or the rank of the token
RANKED = {"boosts": "boosted", "suppresses": "suppressed"}  # by -> the end of the logits
LABEL, GRADE, DETECTION = "label", "grade", "detection"  # sorts by what readers, and machines, keep
SORTS = ("index", *BY_NAME, LABEL, GRADE, DETECTION)
FILTERS = {
    "": "all",
    "alive": "alive",
    "sparse": "worth reading",
    "rare": "ultra-rare",
    "dense": "dense",
    "dead": "dead",
    "twin": "with twins",
    "each": "one of each twins",
    "swarm": "in a swarm",
    "common": "on the common encoder direction",
    "apart": "neither in a swarm nor on a common direction",
    "patterned": "described by a simple pattern",
    "unpatterned": "without a simple pattern",
    "scarce": "too rare to describe",
    "one-token": "on one token only",
    "one-position": "at one position only",
    "bos-only": "on BOS only",
}
SEARCHED = {  # by -> its words
    "fired": "the token it fires most on",
    "boosted": "the token it boosts most",
    "boosts": "the ten tokens it boosts most",
    "suppresses": "the ten tokens it suppresses most",
    "label": "labels and tags",
    "description": "descriptions by patterns",
    "examples": "the text of its examples",
}
LABELLED = {
    "yes": "labelled",
    "no": "not labelled",
    "inherited": "labelled as their counterpart",
    "machine": "labelled by a machine alone",
}
GRADES = ("clear", "partly", "unclear", "none")
MOST_CHOSEN = 1000
MOST_RANGES = 20


@dataclass(frozen=True)
class FeatureList:
    """A filtered, sorted list of features: `show`, `q` searched `by` (`exact`ly), `ranges` of figures, `star`red,
    `labelled`, `grade`d so, `only` these; sorted by `sort`, with these `columns` (none: the usual ones)."""

    show: str = ""
    q: str = ""
    by: str = "fired"
    exact: bool = False
    ranges: tuple[Range, ...] = ()
    star: bool = False
    labelled: str = ""
    grade: str = ""
    only: tuple[int, ...] = ()
    twin: int | None = None  # features nearly like this one, which is the first of them
    sort: str = "index"
    columns: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: QueryDict) -> "FeatureList":
        """From a request's GET; what it does not understand reads as the default."""
        sort, by, show = query.get("sort", ""), query.get("by", ""), query.get("show", "")
        only = [int(i) for i in query.get("only", "").split(",") if i.isdecimal() and len(i) < 10]
        features = cls(
            show=show if show in FILTERS else "",
            q=query.get("q", "")[:100].replace("\0", ""),
            by=by if by in SEARCHED else "fired",
            ranges=_ranges(query),
            star=query.get("star") == "yes",
            labelled=_one_of(LABELLED, query.get("labelled")),
            grade=_one_of(GRADES, query.get("grade")),
            only=tuple(sorted(set(only))[:MOST_CHOSEN]),
            twin=int(twin) if (twin := query.get("twin", "")).isdecimal() and len(twin) < 10 else None,
            columns=_columns(query),
        )
        features = replace(features, exact=query.get("exact") == "yes" and features.searches_tokens)
        sorts = (*SORTS, FOUND) if features.searches_beside else SORTS
        return replace(features, sort=sort if sort.removeprefix("-") in sorts else features.usual_sort)

    def query(self, **changes) -> str:
        """As a query string, "" for the plain list; changes may set a page or another sort, or take a filter away."""
        values = {"show": self.show, "q": self.q, "by": self.by if self.q else "", "exact": self.exact and "yes"}
        values |= {"range": [str(one) for one in self.ranges], "star": self.star and "yes", "labelled": self.labelled}
        values |= {"grade": self.grade, "only": ",".join(map(str, self.only)), "sort": self.sort}
        values |= {"twin": "" if self.twin is None else str(self.twin)}
        values |= {"columns": ",".join(self.columns)} | changes
        usual = ("sort", self.usual_sort)
        values = {name: value for name, value in values.items() if value and (name, value) != usual}
        return "?" + urlencode(values, doseq=True) if values else ""

    @property
    def is_plain(self) -> bool:
        """Whether all features are listed by their number."""
        return not replace(self, columns=()).query()

    @property
    def is_filtered(self) -> bool:
        """Whether some may be missing."""
        return bool(self.chips)

    @property
    def searches_tokens(self) -> bool:
        """Whether tokens are searched, which may be sought exactly."""
        return bool(self.q) and self.by in ("fired", "boosted", *RANKED)

    @property
    def searches_ranks(self) -> bool:
        """Whether the ten tokens at an end of the logits are searched."""
        return bool(self.q) and self.by in RANKED

    @property
    def searches_beside(self) -> bool:
        """Whether what is found has a number of its own: of examples, or a rank."""
        return self.searches_examples or self.searches_ranks

    @property
    def searches_examples(self) -> bool:
        """Whether the text of the examples is searched, and not a column."""
        return bool(self.q) and self.by == "examples"

    @property
    def asks_for_labels(self) -> bool:
        """Whether what readers keep decides on what is listed, or where."""
        searched = self.q and self.by == "label" or any(one.column is DETECTED for one in self.ranges)
        return bool(searched or self.star or self.labelled or self.grade or self.column in (LABEL, GRADE, DETECTION))

    @property
    def usual_sort(self) -> str:
        """Nearly every feature has an example with a common word: those with the most come first, or the first rank."""
        if self.searches_beside:
            return FOUND if self.searches_ranks else f"-{FOUND}"
        return "index"

    @property
    def column(self) -> str:
        """What is sorted by, whichever way."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the highest comes first."""
        return self.sort.startswith("-")

    @property
    def shown_columns(self) -> list[Column]:
        """What the table shows of each, its number and its label apart."""
        return chosen(self.columns)

    # In words

    @property
    def chips(self) -> list[tuple[str, str]]:
        """(words, query string without it) of each filter."""
        found = [(FILTERS[self.show], {"show": ""})] if self.show else []
        if self.q:
            how = "exactly " if self.exact else ""
            words = f"{how}“{self.q}” in {SEARCHED[self.by]}"
            found.append((words, {"q": "", "by": "", "exact": ""} | ({"sort": ""} if self.column == FOUND else {})))
        for one in self.ranges:
            found.append((one.words, {"range": [str(other) for other in self.ranges if other != one]}))
        found += [("starred by you", {"star": ""})] if self.star else []
        found += [(LABELLED[self.labelled], {"labelled": ""})] if self.labelled else []
        found += [("without a grade" if self.grade == "none" else self.grade, {"grade": ""})] if self.grade else []
        found += [(f"{len(self.only):,} chosen ones", {"only": ""})] if self.only else []
        found += [(f"like #{self.twin}", {"twin": ""})] if self.twin is not None else []
        return [(words, self.query(**without) or "?") for words, without in found]

    @property
    def words(self) -> str:
        """What the list is: "dense, by density, highest first"."""
        filters = ", ".join(words for words, _ in self.chips) or "all features"
        return filters if self.column == "index" and not self.descending else f"{filters}, {self.order}"

    @property
    def order(self) -> str:
        if self.column == "index":
            return "the last first" if self.descending else "by number"
        names = {FOUND: "rank" if self.searches_ranks else "examples", LABEL: "label", GRADE: "grade"}
        names |= {DETECTION: "detection of a machine's label"}
        name = names.get(self.column) or BY_NAME[self.column].title.lower()
        if self.column in (LABEL,) or self.column in BY_NAME and not BY_NAME[self.column].is_number:
            return f"by {name}, {'last' if self.descending else 'first'} in the alphabet first"
        return f"by {name}, {'highest' if self.descending else 'lowest'} first"


def _one_of(values, value: str | None) -> str:
    return value if value in values else ""


def _ranges(query: QueryDict) -> tuple[Range, ...]:
    """Those of the address and one that a form adds, the later in the place of an earlier of the same column."""
    added = Range.of(query.get("figure", ""), query.get("from", ""), query.get("to", ""))
    read = [*map(Range.read, query.getlist("range")[:MOST_RANGES]), added]
    return tuple({one.column.name: one for one in read if one}.values())


def _columns(query: QueryDict) -> tuple[str, ...]:
    """In the table's order; none where they are the usual ones. A form gives them one by one."""
    asked = ",".join(query.getlist("columns")).split(",")
    names = tuple(column.name for column in COLUMNS if column.name in asked)
    return names if names != tuple(column.name for column in COLUMNS if column.usual) else ()
