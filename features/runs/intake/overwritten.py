"""What becomes of a state that was read when its files are overwritten? It goes, with what was there for it alone."""

from contextlib import suppress
from itertools import chain
from pathlib import Path

from ...jobs import lifecycle
from ...messages import BadRequest
from ...models import SAE, Checkpoint, Claim, Judgement
from ...storage import recognition, removal
from .. import panels
from . import discovery


def is_superseded(checkpoint: Checkpoint) -> bool:
    """Whether its files are others by now, which a row of their own stands for: then nothing is to be read. Where none
    does yet, this row is of the files as they are."""
    now = discovery.signature_of(Path(checkpoint.path))
    if now == checkpoint.signature:
        return False
    if checkpoint.watch.checkpoints.filter(path=checkpoint.path, signature=now).exists():
        return True
    Checkpoint.objects.filter(pk=checkpoint.pk).update(signature=now)
    checkpoint.signature = now
    return False


def refuse_changed(checkpoint: Checkpoint) -> None:
    """Figures go to the weights that they are of. Raises BadRequest where the files changed since they were read."""
    if recognition.fingerprint(checkpoint.path)["checkpoint_hash"] != checkpoint.sae.checkpoint_hash:
        raise BadRequest(
            f"{checkpoint.path} was overwritten while it was read. Its newest state is read as soon as its files rest; "
            "write under another name and rename (os.replace), and none is missed."
        )


def forget_before(checkpoint: Checkpoint) -> None:
    """Of one that is complete: rows of the same files as they were earlier, and SAEs that nothing else is of."""
    older = checkpoint.watch.checkpoints.filter(path=checkpoint.path, pk__lt=checkpoint.pk)
    older.exclude(state=Checkpoint.State.RUNNING).delete()
    newer = checkpoint.watch.checkpoints.filter(path=checkpoint.path, pk__gt=checkpoint.pk, state="done")
    if newer.exists():  # another worker was quicker with what came later
        Checkpoint.objects.filter(pk=checkpoint.pk).delete()
    left = SAE.objects.filter(path=checkpoint.path, corpus=checkpoint.run.rows, checkpoints=None)
    for sae in left:
        for work in chain.from_iterable(rows.unfinished() for rows in removal.work_on(sae)):
            lifecycle.cancel(work)
        if _is_spoken_of(sae):
            panels.free(sae)
        else:
            with suppress(BadRequest):  # in use still: it goes with the next one
                removal.remove_sae(sae)


def _is_spoken_of(sae: SAE) -> bool:
    """Whether somebody labelled a feature of these weights, or claims something of one: claims go with the run."""
    said = Judgement.objects.filter(weights=sae.checkpoint_hash), Claim.objects.about(sae.checkpoint_hash)
    return any(rows.exists() for rows in said)
