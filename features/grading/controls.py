"""Controls among a sample: plain neurons and random directions, as dense as features of the SAE, graded alike.

They are computed by a worker on the rows of the SAE's statistics; what their panels show is kept with the sample.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
from django.db import transaction

from ..browse.feature_json import CorpusText
from ..engine.results import ExampleGroup, FeatureStatistics
from ..jobs import lifecycle
from ..messages import BadRequest
from ..models import SAE, GradingControl, GradingDraw, GradingSample
from ..storage.payload import pack, unpack
from ..storage.readers import rows_of, subject_of, vocabulary_of
from . import sample
from .intruder import intruder
from .sample import CANDIDATES, SampledItem

KINDS = {"neurons": "plain neurons", "random": "random SAE of equal L0"}
MOST = 100  # features of a kind: each takes 4 bytes a token while it is computed
TOKENS = 200_000  # that they are computed on, at most; rows drawn evenly


def request_draw(
    saes: list[SAE], size: int, seed: int, controls: dict[str, int], author: str, user=None
) -> GradingDraw:
    """Queue it. Raises BadRequest for what cannot be drawn."""
    sample.check(saes, size)
    for kind, count in controls.items():
        if kind not in KINDS:
            raise BadRequest(f"There are no controls “{str(kind)[:40]}”. There are: {', '.join(KINDS)}.")
        if not 1 <= count <= MOST:
            raise BadRequest(f"{count:,} features of a control cannot be drawn; from 1 to {MOST} can.")
    asked = {"size": size, "seed": seed, "controls": controls, "author": author}
    return lifecycle.enqueue(
        GradingDraw(sae=saes[0], saes=[sae.pk for sae in saes], requested_by=user, requested_how="page", **asked)
    )


def run_draw(lease) -> None:
    """Draw a sample that this process has the lease of, controls among it."""
    work = lease.work
    there = {sae.pk: sae for sae in SAE.objects.for_pages().filter(pk__in=work.saes)}
    if gone := len(work.saes) - len(there):
        raise BadRequest(f"{gone} of the {len(work.saes)} SAEs it was to be drawn from are no longer here. Draw anew.")
    saes = [there[key] for key in work.saes]
    random = np.random.default_rng(work.seed)
    lease.phase("drawing features")
    told, items = sample.of_saes(saes, work.size, random)
    shown: list[FeatureStatistics | None] = [None] * len(items)
    if work.controls:
        source = _Source(lease, saes[0])
        for kind in KINDS:  # in this order, whichever was asked for first
            if count := work.controls.get(kind):
                more, features = source.draw(kind, count, len(told), random)
                told.append(source.told(kind))
                items, shown = items + more, shown + features
    order = random.permutation(len(items))
    name = " and ".join([*(sae.name for sae in saes), *(KINDS[kind] for kind in KINDS if work.controls.get(kind))])
    with transaction.atomic():
        made = GradingSample.objects.create(
            name=name[:200],
            author=work.author,
            seed=work.seed,
            saes=told,
            items=[asdict(items[at]) for at in order],
        )
        rows = [(number, shown[at]) for number, at in enumerate(order) if shown[at] is not None]
        GradingControl.objects.bulk_create(_row(made, number, saes[0], feature) for number, feature in rows)
        lease.finish(sample=made)


@dataclass
class _Source:
    """What controls are drawn beside: an SAE, its rows, the densities of its features."""

    lease: object
    sae: SAE

    def __post_init__(self):
        self.lease.phase("loading the model")
        self.subject = subject_of(self.sae)
        self.corpus, self.strata = self.sae.statistics.corpus, sample.strata_of(self.sae)
        rows = rows_of(self.corpus, however_large=True)
        wanted = max(1, TOKENS // (self.corpus.row_length - self.corpus.first))
        # Evenly from all rows; their numbers ascend.
        self.numbers = np.unique(np.linspace(0, len(rows) - 1, min(wanted, len(rows))).astype(np.int64))
        self.rows = np.asarray(rows[self.numbers])
        self.text = CorpusText(vocabulary_of(self.sae), self.rows)

    def told(self, kind: str) -> dict:
        """As of an SAE; it has no weights of its own."""
        return {
            "slug": self.sae.slug,
            "name": KINDS[kind],
            "weights": "",
            "control": kind,
            "alive": list(map(len, self.strata)),
        }

    def draw(self, kind: str, count: int, number: int, random: np.random.Generator):
        """(items, what each shows). Each is as dense as a feature of the SAE that is drawn for it, as samples are."""
        from ..engine.training.control_features import control_features, unit_directions

        models = sample.drawn(self.strata, count, random)
        count = len(models)
        stratum, features = zip(*(models + self._strangers(models, random)), strict=True)
        d_in = self.sae.d_in
        numbers = features if kind == "random" else random.permutation(d_in)[: len(features)].tolist()
        stratum, features = stratum[: len(numbers)], features[: len(numbers)]  # where there are fewer neurons
        densities = self._densities(features)
        directions = unit_directions(kind, numbers, d_in, self.lease.work.seed)
        say = lambda done, total: self.lease.phase(kind, done, total)  # noqa: E731
        found = control_features(self.subject, self.rows, self.corpus.first, directions, densities, say)
        chosen = range(min(count, len(numbers)))
        items = [self._item(at, number, int(numbers[at]), stratum, found, random) for at in chosen]
        return items, [self._in_corpus(found.features[at]) for at in chosen]

    def _strangers(self, drawn: list[tuple[int, int]], random: np.random.Generator) -> list[tuple[int, int]]:
        """Some more of each stratum drawn from, that strangers come from."""
        chosen = []
        for number in sorted({number for number, _ in drawn}):
            others = sorted(set(self.strata[number]) - {index for _, index in drawn})
            chosen += [(number, int(index)) for index in random.permutation(others)[:CANDIDATES]]
        return chosen

    def _densities(self, features) -> list[float]:
        known = dict(self.sae.statistics.features.filter(index__in=features).values_list("index", "density"))
        return [known[index] for index in features]

    def _item(self, at: int, source: int, index: int, strata, found, random) -> SampledItem:
        others = [n for n in range(len(strata)) if strata[n] == strata[at] and n != at]
        others = [found.features[n] for n in random.permutation(others)[:CANDIDATES].tolist()] if others else []
        width = self.corpus.row_length - self.corpus.first
        silent = sample.silence(found.tokens[at], width, self.corpus.first)
        question, why_none = intruder(found.features[at], others, silent, self.text, random)
        return SampledItem(source, index, int(strata[at]), question and asdict(question), why_none)

    def _in_corpus(self, feature: FeatureStatistics) -> FeatureStatistics:
        """The same with rows by their number in the corpus."""

        def moved(group: ExampleGroup) -> ExampleGroup:
            return replace(group, rows=self.numbers[group.rows])

        examples = feature.examples
        intervals = tuple(replace(one, examples=moved(one.examples)) for one in examples.intervals)
        examples = replace(examples, top=moved(examples.top), random=moved(examples.random), intervals=intervals)
        shown = replace(feature.shown, rows=self.numbers[feature.shown.rows])
        return replace(feature, examples=examples, shown=shown)


def _row(made: GradingSample, number: int, sae: SAE, feature: FeatureStatistics) -> GradingControl:
    activity = feature.activity
    return GradingControl(
        sample=made,
        number=number,
        sae=sae,
        corpus=sae.statistics.corpus,
        tokens=feature.tokens,
        count=activity.count,
        maximum=activity.maximum,
        mean=activity.mean,
        quantiles=np.asarray(activity.quantiles, np.float32).tobytes(),
        payload=pack(feature),
    )


def opened(row: GradingControl) -> tuple[FeatureStatistics, CorpusText]:
    """What is shown of a control, and the text that its examples stand in. Raises ValueError or OSError."""
    feature = unpack(
        row.payload,
        {
            "index": row.number,
            "tokens": row.tokens,
            "activity.count": row.count,
            "activity.maximum": row.maximum,
            "activity.mean": row.mean,
            "activity.quantiles": np.frombuffer(row.quantiles, np.float32),
        },
    )
    return feature, CorpusText(vocabulary_of(row.sae), rows_of(row.corpus))
