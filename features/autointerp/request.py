"""What may be asked of a language model, about which features, and what will it take? Told before anything is sent."""

import math
from dataclasses import dataclass, field

import numpy as np
from django.db import transaction

from ..browse.feature_list import FeatureList
from ..browse.list_rows import ListRows
from ..browse.list_rows import values as values_of
from ..jobs import lifecycle
from ..judge.reader import Reader
from ..messages import BadRequest
from ..models import SAE, AutoInterp, Feature, Judgement
from ..templatetags.formatting import duration
from . import address as addresses
from . import prompts
from .client import tokens_of
from .examples import ExampleSource

MOST_FEATURES = 1000
LOOKED_AT = 3  # features whose questions are put together for an estimate
ANSWER_TOKENS = 40  # of an answer, about, where nobody has asked this model yet
CALLS_SPARE, TOKENS_SPARE = 1.25, 2.0  # of an estimate, as limits that are offered: tokenizers differ


@dataclass(frozen=True)
class Chosen:
    """Features in the order in which they are labelled, and sentences on those that are left out."""

    features: list[int]
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Estimate:
    """Of questions, each answered at the first try."""

    calls: int
    tokens: int
    cost: float | None  # in the currency of the prices
    seconds: float | None  # as the last job with this model took; None: there was none

    @property
    def sentence(self) -> str:
        parts = [f"About {self.calls:,} calls", f"{self.tokens:,} tokens"]
        parts.append("no price is given" if self.cost is None else f"{self.cost:.4g} at the prices given")
        took = "nobody has asked it before" if self.seconds is None else f"about {duration(self.seconds)}"
        return ", ".join(parts) + f". Time: {took}."


# Which features


def one(sae: SAE, index: int) -> Chosen:
    if not 0 <= index < sae.d_sae:
        raise BadRequest(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    return Chosen([index])


def listed(sae: SAE, features: FeatureList, count: int, reader: Reader | None) -> Chosen:
    """The first of a list of the table, in its order."""
    indices = [index for (index,) in values_of(ListRows(sae, features, reader).features(), ["index"])]
    if not indices:
        raise BadRequest(f"The list has no features: {features.words}.")
    more = len(indices) - count
    return Chosen(indices[:count], [f"{more:,} of the list come after the first {count:,}."] if more > 0 else [])


def by_density(sae: SAE, count: int) -> Chosen:
    """So many alive ones, evenly from the rarest to the densest."""
    alive = Feature.objects.shown_of(sae).alive().order_by("density", "index").values_list("index", flat=True)
    indices = np.array(alive)
    if not len(indices):
        raise BadRequest("None of its features ever fired, so there is nothing to label.")
    ranks = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))
    return Chosen(indices[ranks].tolist())


def not_labelled_before(sae: SAE, chosen: Chosen, model: str) -> Chosen:
    """Without those that this model has labelled: a label is paid for once. Raises BadRequest where none is left."""
    by_model = Judgement.objects.of(sae).filter(kind=Judgement.Kind.MACHINE, author=model).exclude(label="")
    before = set(by_model.values_list("index", flat=True)) & set(chosen.features)
    left = [index for index in chosen.features if index not in before]
    if not left:
        raise BadRequest(f"{model} has labelled all of these {len(before):,} features. Tick “again” to ask once more.")
    told = [f"{len(before):,} are left out: {model} has labelled them before."] if before else []
    return Chosen(left, [*chosen.left_out, *told])


def companion_of(sae: SAE, features: list[int], seed: int) -> int | None:
    """One feature alone has no other label to be shuffled with: another alive one, drawn by the seed."""
    if len(features) > 1:
        return None
    others = Feature.objects.shown_of(sae).alive().exclude(index=features[0]).order_by("index")
    if not (count := others.count()):
        return None
    at = int(np.random.default_rng(seed).integers(count))
    return others.values_list("index", flat=True)[at]


# What it takes


def estimate(work: AutoInterp) -> Estimate:
    """From questions as they will be put about a few of the features. Raises NothingKept, ValueError or OSError."""
    source = ExampleSource(work.sae)
    labels, detections = [], []
    for index in work.features[:: max(1, len(work.features) // LOOKED_AT)][:LOOKED_AT]:
        drawn = source.drawn(index, work.seed)
        labels.append(tokens_of(prompts.label_question(drawn.shown)))
        texts = drawn.held[: prompts.PER_QUESTION]
        detections.append(tokens_of(prompts.detection_question("x" * 60, texts)))
    more = prompts.QUESTIONS - 1
    own = len(work.features) * (np.mean(labels) + more * np.mean(detections))
    tokens_in = round(own + (np.mean(labels) if work.companion is not None else 0))
    calls = len(work.features) * prompts.QUESTIONS + (work.companion is not None)
    tokens_out = calls * ANSWER_TOKENS
    cost = None
    if work.price_in is not None and work.price_out is not None:
        cost = (tokens_in * work.price_in + tokens_out * work.price_out) / 1e6
    return Estimate(calls, tokens_in + tokens_out, cost, _seconds(work, calls))


def _seconds(work: AutoInterp, calls: int) -> float | None:
    before = AutoInterp.objects.filter(model=work.model, address=work.address, state=AutoInterp.State.DONE)
    last = before.exclude(calls=0).exclude(started=None).newest_first().first()
    return calls * (last.finished - last.started).total_seconds() / last.calls if last else None


def with_limits(work: AutoInterp, found: Estimate, calls=None, tokens=None, cost=None) -> AutoInterp:
    """Those given; else a quarter more calls and twice the tokens of the estimate, and room for one long answer."""
    work.most_calls = calls or math.ceil(found.calls * CALLS_SPARE)
    work.most_tokens = tokens or math.ceil(found.tokens * TOKENS_SPARE) + prompts.MOST_TOKENS
    work.most_cost = cost
    return work


# Asked for


def asked(sae: SAE, chosen: Chosen, address: str, model: str, seed: int = 0, prices=(None, None)) -> AutoInterp:
    """A job that is not saved yet, without limits. Raises BadRequest."""
    if sae.statistics is None:
        raise BadRequest(f"{sae.name} has no statistics yet, from which examples are drawn. Compute them first.")
    if not 0 < len(chosen.features) <= MOST_FEATURES:
        raise BadRequest(f"{len(chosen.features):,} features are chosen; a job labels 1 to {MOST_FEATURES:,}.")
    model = " ".join(model.replace("\0", "").split())
    if not model or len(model) > 200:
        raise BadRequest("Say which model is to be asked, by its name at that address, of at most 200 characters.")
    where = addresses.allowed(address)
    return AutoInterp(
        sae=sae,
        checkpoint_hash=sae.checkpoint_hash,
        features=chosen.features,
        companion=companion_of(sae, chosen.features, seed),
        address=str(where),
        model=model,
        key_variable=addresses.key_variable(where),
        seed=seed,
        price_in=prices[0],
        price_out=prices[1],
    )


def start(work: AutoInterp, user=None, how: str = "") -> AutoInterp:
    """Queue it. Raises BadRequest, and Unfinished where labels of this SAE are being made already."""
    addresses.key(work.key_variable)
    work.requested_by, work.requested_how = user, how
    return lifecycle.enqueue(work)


def go_on(work: AutoInterp, calls: int, tokens: int, cost: float | None, user=None) -> AutoInterp:
    """Once more, with other limits, from where it ended early. Raises BadRequest, and Unfinished as `start` does."""
    if not work.can_be_retried:
        raise BadRequest(f"This job is {work.state}; only one that failed or was cancelled goes on.")
    with transaction.atomic():
        lifecycle.row(work).update(most_calls=calls, most_tokens=tokens, most_cost=cost)
        return lifecycle.retry(work, user)
