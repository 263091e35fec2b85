"""64 bytes of each feature at each checkpoint: how they are stored, and read for a feature, a checkpoint, a run."""

import numpy as np
from django.db.models import F, Sum
from django.db.models.functions import Length, Substr

from ..engine.training.record import BLOCK, COUNT, MERGED, SPLIT, blocks, read_block
from ..models import Checkpoint, CheckpointBlock, CheckpointCounts, CheckpointQuerySet, Run


def store(checkpoint: Checkpoint, counts: np.ndarray, records: np.ndarray) -> None:
    """In the transaction that ends the checkpoint's work."""
    CheckpointCounts.objects.update_or_create(checkpoint=checkpoint, defaults={"counts": counts.tobytes()})
    checkpoint.blocks.all().delete()
    CheckpointBlock.objects.bulk_create(
        CheckpointBlock(checkpoint=checkpoint, number=number, records=data)
        for number, data in enumerate(blocks(records))
    )


def with_before(records: np.ndarray, cosines: np.ndarray, split: np.ndarray, merged: np.ndarray) -> np.ndarray:
    """The same with what a comparison with the checkpoint before says, [d_sae] each."""
    found = records.copy()
    found["before"] = cosines
    kept = found["flags"] & ~np.uint16(SPLIT | MERGED)
    found["flags"] = kept | (SPLIT * split + MERGED * merged).astype(np.uint16)
    return found


def store_before(checkpoint: Checkpoint, records: np.ndarray) -> None:
    """Of a checkpoint that has records, those that know the one before, which was read later."""
    found = records
    for block, data in zip(checkpoint.blocks.order_by("number"), blocks(found), strict=True):
        CheckpointBlock.objects.filter(pk=block.pk).update(records=data)


def beside(checkpoint: Checkpoint) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Those with records right before and right after it in its run, whether it has any itself or not."""
    others = checkpoint.run.in_order().exclude(counts=None).exclude(pk=checkpoint.pk).exclude(sae=None)
    others = others.defer("figures").select_related("sae")
    if checkpoint.step is None:
        unnamed = others.filter(step=None)
        earlier = unnamed.filter(appeared__lt=checkpoint.appeared).last()
        return earlier or others.exclude(step=None).last(), unnamed.filter(appeared__gt=checkpoint.appeared).first()
    before = others.filter(step__lt=checkpoint.step).last()
    return before, others.exclude(step__lt=checkpoint.step).first()


def with_records(run: Run) -> CheckpointQuerySet:
    """Checkpoints in order of training that have records, without their figures."""
    return run.in_order().exclude(counts=None).defer("figures")


def having(checkpoints: list[Checkpoint]) -> set[int]:
    """Which of these have records."""
    return set(CheckpointCounts.objects.filter(checkpoint__in=checkpoints).values_list("checkpoint", flat=True))


def counts_of(checkpoints: list[Checkpoint], feature: int | None = None) -> np.ndarray:
    """Activations of all features, or of one. [checkpoints, d_sae] or [checkpoints] uint32"""
    size = COUNT.itemsize
    # SQL counts bytes from 1.
    stored = F("counts") if feature is None else Substr("counts", size * feature + 1, size)
    rows = CheckpointCounts.objects.filter(checkpoint__in=checkpoints)
    found = dict(rows.annotate(wanted=stored).values_list("checkpoint", "wanted"))
    counts = np.stack([np.frombuffer(found[checkpoint.pk], COUNT) for checkpoint in checkpoints])
    return counts if feature is None else counts[:, 0]


def records_of(checkpoint: Checkpoint) -> np.ndarray:
    """Of all features. [d_sae]"""
    data = checkpoint.blocks.order_by("number").values_list("records", flat=True)
    return np.concatenate([read_block(block) for block in data])


def history(checkpoints: list[Checkpoint], feature: int) -> np.ndarray:
    """Records of one feature through these checkpoints. [checkpoints]"""
    number, place = divmod(feature, BLOCK)
    found = CheckpointBlock.objects.filter(checkpoint__in=checkpoints, number=number)
    blocks_of = dict(found.values_list("checkpoint", "records"))
    return np.stack([read_block(blocks_of[checkpoint.pk])[place] for checkpoint in checkpoints])


def bytes_of(run: Run) -> int:
    """What the records of a run take."""
    blocks = CheckpointBlock.objects.filter(checkpoint__run=run).aggregate(all=Sum(Length("records")))["all"] or 0
    counts = CheckpointCounts.objects.filter(checkpoint__run=run).aggregate(all=Sum(Length("counts")))["all"] or 0
    return blocks + counts
