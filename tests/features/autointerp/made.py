"""A job of labels that is done, as its rows are, without a language model."""

from features.models import SAE, AutoInterp, AutoInterpFeature


def finished(sae: SAE) -> AutoInterp:
    """Of three features: one with a score and its control, one that could not be scored, one that never fires."""
    how = {"address": "http://127.0.0.1:11434/v1", "model": "parrot-1", "most_calls": 20, "most_tokens": 9000}
    work = AutoInterp.objects.create(
        sae=sae, checkpoint_hash=sae.checkpoint_hash, features=[0, 1, 3], state="done", calls=12, failed_calls=1, **how
    )
    score = {"score": 0.85, "low": 0.66, "high": 0.94, "positives": 10, "negatives": 10}
    control = {**score, "score": 0.55, "low": 0.35, "high": 0.73}
    figures = {"own": score, "control": control, "unanswered": 0.25}
    items = (
        (0, "the word print, in code", "tabs & line ends", figures, ""),
        (1, "tabs & line ends", "", {"why_none": "Too few held-out examples for a score: 3 of 5."}, ""),
        (3, "", "", {}, "It was never active on 9,600 tokens."),
    )
    for index, label, control_label, told, why_none in items:
        examples = {"shown": [], "held": [], "fits": [], "why_none": why_none, "why_unscored": ""}
        AutoInterpFeature.objects.create(
            work=work, index=index, examples=examples, label=label, control_label=control_label, figures=told,
            control_of=1 if control_label else None,
        )  # fmt: skip
    work.outcome = {"features": 1, "score": {"mean": 0.85}, "control": {"mean": 0.55}, "difference": {"mean": 0.3}}
    work.save()
    return work
