"""Where do payloads go that earlier versions kept in the rows of features? Into rows of their own, beside them.

A batch at a time, each in one transaction that moves its features whole or not at all, so that it can be interrupted
anywhere and go on later, while pages read either place. A release that drops the old columns moves what is left first.
"""

from django.db import transaction

from ...models import Feature, FeaturePayload

BATCH = 200  # about 2 MB: no other writer waits long


def unmoved():
    """Features whose payload lies in their own row."""
    return Feature.objects.exclude(old_payload=b"")


def move_all() -> int:
    """Move what is left, the oldest first; returns how many features that were."""
    last, count = 0, 0
    while moved := move_batch(after=last):
        last, count = moved[-1], count + len(moved)
    return count


def move_batch(after: int = 0) -> list[int]:
    """Move some features whose ids are larger than `after`; returns their ids, ascending. None that another worker is
    moving now."""
    with transaction.atomic():
        features = unmoved().select_for_update(skip_locked=True).filter(pk__gt=after).order_by("pk")[:BATCH]
        rows = list(features.values_list("pk", "old_quantiles", "old_payload"))
        ids = [pk for pk, *_ in rows]
        FeaturePayload.objects.bulk_create(
            FeaturePayload(feature_id=pk, quantiles=quantiles, payload=payload) for pk, quantiles, payload in rows
        )
        Feature.objects.filter(pk__in=ids).update(old_quantiles=b"", old_payload=b"")
    return ids
