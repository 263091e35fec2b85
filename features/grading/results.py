"""What came of a grading? Shares of each stratum, weighted over all alive features, with intervals; agreement."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..models import GradingSample, Judgement
from .sample import STRATA

DRAWS = 20_000  # of the posterior; 95 % ends are stable to a tenth of a per cent
GRADES = Judgement.Grade.values


@dataclass(frozen=True)
class Share:
    """So many of so many, as a share with its 95 % interval; None without any."""

    hits: int
    of: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class StratumLine:
    """One stratum, or all of them (weighted by the alive features of each)."""

    name: str
    alive: int
    graded: int
    clear: Share
    partly: Share  # clear or partly
    intruder: Share


def share(hits: int, of: int) -> Share:
    """With the Jeffreys interval: the middle 95 % of Beta(hits + 1/2, of - hits + 1/2)."""
    return weighted([(hits, of, 1.0)])


def weighted(strata: list[tuple[int, int, float]]) -> Share:
    """Of (hits, of, weight) of each stratum: the weighted share, its interval from the posteriors of all. Strata of
    which nothing is known are left out, their weight with them."""
    known = [(hits, of, weight) for hits, of, weight in strata if of and weight]
    total = sum(weight for *_, weight in known)
    hits, of = sum(h for h, *_ in known), sum(n for _, n, _ in known)
    if not total:
        return Share(0, 0, None, None, None)
    random = np.random.default_rng(0)
    drawn = sum(weight / total * random.beta(h + 0.5, n - h + 0.5, DRAWS) for h, n, weight in known)
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = sum(weight / total * h / n for h, n, weight in known)
    # Posteriors of strata without a hit lie above 0: the share itself is in its interval all the same.
    low, high = (0.0 if hits == 0 else min(float(low), value)), (1.0 if hits == of else max(float(high), value))
    return Share(hits, of, value, low, high)


def of_grader(sample: GradingSample, grader: str) -> list[dict]:
    """For each SAE and control of the sample: {"name", "control", "lines": strata that were graded, "all": the weighted
    line}."""
    answers = {answer.number: answer for answer in sample.answers.filter(grader=grader)}
    found = []
    for number, sae in enumerate(sample.saes):
        lines = []
        for stratum, (name, *_) in enumerate(STRATA):
            mine = [
                (item, answers[at])
                for at, item in enumerate(sample.items)
                if (item["sae"], item["stratum"]) == (number, stratum) and at in answers
            ]
            if mine:
                lines.append(_line(name, sae["alive"][stratum], mine))
        found.append({"name": sae["name"], "control": sae.get("control", ""), "lines": lines, "all": _all(lines)})
    return found


def _line(name: str, alive: int, answered: list) -> StratumLine:
    grades = Counter(answer.grade for _, answer in answered if answer.grade)
    graded = grades.total()
    asked = [(item, answer) for item, answer in answered if item["intruder"] and answer.picked is not None]
    right = sum(answer.picked == item["intruder"]["stranger"] for item, answer in asked)
    clear, partly = grades["clear"], grades["clear"] + grades["partly"]
    return StratumLine(name, alive, graded, share(clear, graded), share(partly, graded), share(right, len(asked)))


def _all(lines: list[StratumLine]) -> StratumLine:
    columns = {
        name: weighted([(getattr(line, name).hits, getattr(line, name).of, line.alive) for line in lines])
        for name in ("clear", "partly", "intruder")
    }
    return StratumLine(
        "all, weighted", sum(line.alive for line in lines), sum(line.graded for line in lines), **columns
    )


def agreement(sample: GradingSample) -> list[dict]:
    """Cohen's kappa of each two graders, on what both have graded."""
    by: dict[str, dict[int, str]] = {}
    for grader, number, grade in sample.answers.exclude(grade="").values_list("grader", "number", "grade"):
        by.setdefault(grader, {})[number] = grade
    graders = sorted(by)
    found = []
    for at, one in enumerate(graders):
        for other in graders[at + 1 :]:
            both = sorted(by[one].keys() & by[other].keys())
            kappa = cohens_kappa([by[one][n] for n in both], [by[other][n] for n in both])
            same = sum(by[one][n] == by[other][n] for n in both)
            found.append({"graders": (one, other), "both": len(both), "same": same, "kappa": kappa})
    return found


def cohens_kappa(one: list[str], other: list[str]) -> float | None:
    """(p_o - p_e) / (1 - p_e): agreement beyond that of two who grade as often so and so, by chance. Cohen (1960).
    None where nothing is common to both, or where chance alone would agree always."""
    if not one:
        return None
    n = len(one)
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / n
    expected = sum(one.count(grade) * other.count(grade) for grade in GRADES) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
