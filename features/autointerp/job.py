"""How are features labelled and the labels scored? Question by question; each answer is kept as it comes, so that none
is paid for twice.

Features are taken in groups: all labels of a group first, then detection of each label and of another feature's of the
group, the shuffled control, on the same held-out texts.
"""

import time
from dataclasses import asdict
from functools import partial

import numpy as np
from django.conf import settings
from django.db import transaction

from ..judge.machine import keep_label
from ..messages import BadRequest
from ..models import SAE, AutoInterp, AutoInterpFeature
from . import address as addresses
from . import prompts, scores
from .asked import Asker
from .client import CallFailed, Client
from .examples import ExampleSource

GROUP = 25  # features
IN_A_ROW = 5  # questions without an answer of use, after which the job ends


def run_autointerp(lease) -> None:
    """Go on with an AutoInterp that this process has the lease of; between two groups more urgent work goes first."""
    work: AutoInterp = lease.work
    sae = SAE.objects.for_pages().get(pk=work.sae_id)
    if sae.checkpoint_hash != work.checkpoint_hash:
        raise BadRequest("The SAE has other weights than those that labels were asked for. Ask anew.")
    where = addresses.allowed(work.address)
    client = Client(where, work.model, addresses.key(work.key_variable), settings.SAEVIZ_LLM_SECONDS)
    run = LabellingRun(lease, sae, Asker(lease, client))
    groups = groups_of(work.features, work.companion)
    for number, indices in enumerate(groups):
        if run.do(number, indices) and number + 1 < len(groups) and lease.gives_way():
            return
    lease.finish(outcome=outcome(work))


def groups_of(features: list[int], companion: int | None) -> list[list[int]]:
    """At most GROUP of them, none of a single feature where there are others."""
    all_of_them = [*features, *([] if companion is None else [companion])]
    count = -(-len(all_of_them) // GROUP)
    return [part.tolist() for part in np.array_split(np.array(all_of_them), count)]


def outcome(work: AutoInterp) -> dict:
    """The scores of all features that have both, together."""
    figures = work.items.values_list("figures", flat=True)
    pairs = [[one.get(name, {}).get("score") for name in ("own", "control")] for one in figures]
    both = [pair for pair in pairs if None not in pair]
    return scores.summary([own for own, _ in both], [control for _, control in both], work.seed)


class LabellingRun:
    """What one process does of it."""

    def __init__(self, lease, sae: SAE, asker: Asker):
        self.lease, self.work, self.sae, self.asker = lease, lease.work, sae, asker
        self.source: ExampleSource | None = None  # opened when a feature first needs it
        self.without_answer = []  # the last questions without one, as what takes back that they failed
        self.began, self.asked = time.monotonic(), 0

    def do(self, number: int, indices: list[int]) -> bool:
        """A group; whether anything was left to do of it. Raises what ends the job."""
        items = [self._item(index) for index in indices]
        self.done, self.total = how_far(self.work)
        asked = False
        for item in items:
            asked |= self._label(item)
        self._choose_controls(number, items)
        for item in items:
            if item.index != self.work.companion and not item.figures:
                asked |= self._detect(item)
        AutoInterp.objects.filter(pk=self.work.pk).update(outcome=outcome(self.work))
        return asked

    def _item(self, index: int) -> AutoInterpFeature:
        """With its examples, drawn when it is first come to."""
        found = self.work.items.filter(index=index).first()
        if found is None:
            self.source = self.source or ExampleSource(self.sae)
            drawn = asdict(self.source.drawn(index, self.work.seed))
            found = AutoInterpFeature.objects.create(work=self.work, index=index, examples=drawn)
        return found

    # A label

    def _label(self, item: AutoInterpFeature) -> bool:
        if item.label or item.label_failed or item.examples["why_none"]:
            return False
        question = prompts.label_question(item.examples["shown"])
        keep = partial(self._keep_label, item)
        self._ask(question, prompts.label_of, keep, partial(_fail_label, item))
        return True

    def _keep_label(self, item: AutoInterpFeature, label: str) -> None:
        item.label = label
        item.save(update_fields=["label"])
        if item.index != self.work.companion:
            self._tell(item)

    def _tell(self, item: AutoInterpFeature) -> None:
        about = self.work.checkpoint_hash, self.sae.d_sae, item.index, self.work.model, item.label
        keep_label(*about, facts_of(self.work, item))

    # Its score

    def _choose_controls(self, number: int, items: list[AutoInterpFeature]) -> None:
        """Labels go round in an order drawn by the seed; the next that says something else is the control."""
        labelled = [item for item in items if item.label]
        order = [labelled[at] for at in np.random.default_rng([self.work.seed, number]).permutation(len(labelled))]
        for place, item in enumerate(order):
            others = order[place + 1 :] + order[:place]
            other = next((one for one in others if one.label.casefold() != item.label.casefold()), None)
            if other and not item.control_label:
                item.control_of, item.control_label = other.index, other.label
                item.save(update_fields=["control_of", "control_label"])

    def _detect(self, item: AutoInterpFeature) -> bool:
        """Own label and control in turn, on each part of the held-out texts."""
        if not item.label:
            return False
        why_none = item.examples["why_unscored"] or ("" if item.control_label else NO_CONTROL)
        asked = False
        for part in [] if why_none else parts_of(item):
            for name, label in (("answers", item.label), ("control_answers", item.control_label)):
                if part not in getattr(item, name):
                    self._detect_part(item, part, name, label)
                    asked = True
        item.figures = {"why_none": why_none} if why_none else figures_of(item)
        item.save(update_fields=["figures"])
        self._tell(item)
        return asked

    def _detect_part(self, item: AutoInterpFeature, part: str, name: str, label: str) -> None:
        texts = texts_of(item, part)
        question = prompts.detection_question(label, texts)
        read = partial(prompts.fits_of, count=len(texts))
        keep, fail = partial(_keep_answer, item, part, name), partial(_fail_answer, item, part, name)
        self._ask(question, read, keep, fail)

    # A question

    def _ask(self, question, read, keep, fail) -> None:
        """`keep(what was read)`, or `fail(why)` that gives what takes that back. Raises what ends the job."""
        self._say_how_far()
        try:
            self.asker.ask(question, prompts.MOST_TOKENS, read, keep)
        except CallFailed as failure:
            if not failure.final:
                self.without_answer.append(fail(str(failure)))
            if failure.final or len(self.without_answer) == IN_A_ROW:
                with transaction.atomic():
                    for take_back in self.without_answer:  # to be asked again, when this is tried again
                        take_back()
                raise BadRequest(_gave_up(self.work, failure, len(self.without_answer))) from failure
        else:
            self.without_answer = []

    def _say_how_far(self) -> None:
        """Raises LeaseLost where somebody has cancelled it."""
        seconds = time.monotonic() - self.began
        rate = self.asked / seconds if seconds > 1 else 0.0
        self.lease.phase("labelling", min(self.done, self.total), self.total, rate)
        self.asked, self.done = self.asked + 1, self.done + 1


NO_CONTROL = "No other feature beside it has a label that says something else, so there is no shuffled control."


def _gave_up(work: AutoInterp, failure: CallFailed, times: int) -> str:
    which = "A question" if failure.final else f"{times} questions in a row"
    return (
        f"{which} to {work.model} at {work.address} had no answer of use. {failure} "
        "What it has answered before is kept; try again goes on from there."
    )


def _fail_label(item: AutoInterpFeature, why: str):
    item.label_failed = why[:300]
    item.save(update_fields=["label_failed"])
    return partial(AutoInterpFeature.objects.filter(pk=item.pk).update, label_failed="")


def _keep_answer(item: AutoInterpFeature, part: str, name: str, fits: list[int] | None) -> None:
    getattr(item, name)[part] = fits
    item.save(update_fields=[name])


def _fail_answer(item: AutoInterpFeature, part: str, name: str, why: str):
    _keep_answer(item, part, name, None)

    def take_back():
        getattr(item, name).pop(part, None)
        item.figures = {}
        item.save(update_fields=[name, "figures"])

    return take_back


# What comes of the answers


def parts_of(item: AutoInterpFeature) -> list[str]:
    """Names of the questions that its held-out texts are put in."""
    return [str(n) for n in range(-(-len(item.examples["held"]) // prompts.PER_QUESTION))]


def texts_of(item: AutoInterpFeature, part: str) -> list[str]:
    first = int(part) * prompts.PER_QUESTION
    return item.examples["held"][first : first + prompts.PER_QUESTION]


def figures_of(item: AutoInterpFeature) -> dict:
    """{"own", "control", "unanswered"}: each as scores.balanced_accuracy has it, and the share of failed questions."""
    told, asked = {}, []
    for name, answers in (("own", item.answers), ("control", item.control_answers)):
        by_part = [answers[part] or [None] * len(texts_of(item, part)) for part in parts_of(item)]
        told[name] = scores.balanced_accuracy(item.examples["fits"], [one for part in by_part for one in part])
        asked += [answers[part] is None for part in parts_of(item)]
    return told | {"unanswered": sum(asked) / len(asked)}


def facts_of(work: AutoInterp, item: AutoInterpFeature) -> dict:
    """What is kept beside the label: a score never without its control."""
    facts = {"model": work.model, "made_by": f"autointerp {work.pk}"}
    own, control = item.figures.get("own", {}), item.figures.get("control", {})
    if "unanswered" in item.figures:
        facts |= {"unanswered": item.figures["unanswered"], "texts": len(item.examples["held"])}
    if "score" in own and "score" in control:
        for name, figures in (("score", own), ("control", control)):
            facts |= {name: figures["score"], f"{name}_low": figures["low"], f"{name}_high": figures["high"]}
    elif why := item.figures.get("why_none") or own.get("why_none") or control.get("why_none"):
        facts["why_unscored"] = why
    return facts


def how_far(work: AutoInterp) -> tuple[int, int]:
    """Questions that are answered, failed or never to be asked, and all of them."""
    done = 0
    columns = "index", "label", "label_failed", "answers", "control_answers", "figures", "examples__why_none"
    for index, label, failed, answers, control, figures, why_none in work.items.values_list(*columns):
        if index == work.companion:
            done += bool(label or failed or why_none)
        elif failed or figures or why_none:
            done += prompts.QUESTIONS
        else:
            done += bool(label) + len(answers) + len(control)
    return done, len(work.features) * prompts.QUESTIONS + (work.companion is not None)
