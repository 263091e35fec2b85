"""What do the files of a checkpoint say? They become an SAE of the site, and a moment of a run."""

from collections.abc import Callable
from pathlib import Path

from django.db import transaction

from ...importing.folders import sae_inside
from ...importing.plan import check_import, plan_import
from ...importing.request import ImportRequest
from ...messages import BadRequest
from ...models import SAE, Checkpoint
from ...storage import recognition
from ...storage.opened import description_of
from . import fixed_rows, identity


def read(checkpoint: Checkpoint, say: Callable[[str], None], tick: Callable[[], None] | None = None) -> Checkpoint:
    """The same with its SAE, run and step, written in one step. Raises what importing raises, and BadRequest where
    another file says to be of the same step."""
    path, watch = Path(checkpoint.path), checkpoint.watch
    if watch.restricted:
        sae_inside(path)
    fingerprint = recognition.fingerprint(path)
    sae, checked = _known(path, fingerprint), None
    if sae is None:
        planned = plan_import(ImportRequest(str(path), **watch.asked), tick=tick, restricted=watch.restricted)
        checked = check_import(planned, say, tick, self_check_follows=True)  # health does not wait for it
    answers = checked.answers if checked else sae.answers
    description = description_of(path, answers, tick)
    step = identity.step_of(path, Path(watch.path), description)
    if source := checked.plan.corpus if checked else identity.source_of(sae):
        # Before other writers have to wait: a large text is looked through.
        fixed_rows.drawn_from(source, checked.plan.model_path if checked else sae.model_path)
    with transaction.atomic():
        sae = sae or _registered(checked, watch)
        run = identity.run_of(checkpoint, sae, description)
        _refuse_second(run, checkpoint, step, sae)
        if not _is_elsewhere(sae, run):
            SAE.objects.filter(pk=sae.pk).update(corpus=run.rows)
            sae.corpus = run.rows
        checkpoint.run, checkpoint.sae, checkpoint.step, checkpoint.unit = run, sae, step.step, step.unit
        checkpoint.notes = [*filter(None, [step.note]), *_backwards(run, checkpoint)]
        checkpoint.same_as = _twin(run, checkpoint)
        names = ("run", "sae", "step", "unit", "notes", "same_as")
        Checkpoint.objects.filter(pk=checkpoint.pk).update(**{name: getattr(checkpoint, name) for name in names})
    return checkpoint


def _known(path: Path, fingerprint: dict) -> SAE | None:
    """The SAE that was read from these very files already."""
    return SAE.objects.select_related("corpus", "statistics").filter(path=str(path), **fingerprint).first()


def _registered(checked, watch) -> SAE:
    sae = checked.register()
    # Text that was named has become rows: the next checkpoint has them.
    if watch.asked.get("corpus") != sae.corpus.slug:
        watch.asked = {**watch.asked, "corpus": sae.corpus.slug}
        watch.save(update_fields=["asked"])
    return sae


def _is_elsewhere(sae: SAE, run) -> bool:
    """Whether it was imported by itself, and has figures of its own corpus that stay."""
    return sae.corpus_id != run.rows_id and sae.jobs.exists()


def _refuse_second(run, checkpoint: Checkpoint, step, sae: SAE) -> None:
    """Two files of one step: the first stays, unless the second is newer files at the same path."""
    if step.step is None:
        return
    there = (
        run.checkpoints.filter(step=step.step).exclude(path=checkpoint.path).exclude(state__in=Checkpoint.ENDED_EARLY)
    )
    if (first := there.first()) is None:
        return
    same = "the same weights" if first.sae and first.sae.checkpoint_hash == sae.checkpoint_hash else "other weights"
    raise BadRequest(
        f"{checkpoint.path} says to be of {step.step:,} {step.unit}, and so does {first.path}, which was read before; "
        f"it has {same}. Give one of them another number, or a folder of its own, and it is read as another run."
    )


def _backwards(run, checkpoint: Checkpoint) -> list[str]:
    """A sentence where a step was written after later ones."""
    if checkpoint.step is None:
        return []
    later = run.checkpoints.filter(step__gt=checkpoint.step, appeared__lt=checkpoint.appeared).order_by("step").first()
    if later is None:
        return []
    return [
        f"{checkpoint.step:,} {checkpoint.unit} were written after {later.step:,}: the files were copied in another "
        "order, or training went back and on from an earlier step. Curves go by steps."
    ]


def _twin(run, checkpoint: Checkpoint) -> Checkpoint | None:
    """The step whose weights a state has that no step is known of: last.pt beside the step it was copied from."""
    if checkpoint.step is not None:
        return None
    others = run.checkpoints.exclude(pk=checkpoint.pk).exclude(step=None).exclude(state__in=Checkpoint.ENDED_EARLY)
    return others.filter(sae__checkpoint_hash=checkpoint.sae.checkpoint_hash).first()
