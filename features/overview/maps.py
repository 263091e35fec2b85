"""A map of an SAE's decoders: asked for on its overview, made by a worker, kept for these weights."""

import numpy as np
from django.db import transaction

from ..jobs import lifecycle
from ..models import SAE, DecoderMap
from ..storage.holdings import registry, row_sizes
from ..storage.readers import autoencoder_of
from ..templatetags.formatting import duration

State = DecoderMap.State


def map_of(sae: SAE) -> DecoderMap | None:
    """The one of its present weights."""
    made = sae.maps.filter(state=State.DONE, checkpoint_hash=sae.checkpoint_hash)
    return made.defer("places").newest_first().first()


def newest(sae: SAE) -> DecoderMap | None:
    """The one asked for last, whatever became of it; not of other weights."""
    return sae.maps.filter(checkpoint_hash=sae.checkpoint_hash).defer("places").newest_first().first()


def request_map(sae: SAE, user=None, how: str = "") -> DecoderMap:
    """Queue it, unless it is at work or made already."""
    at_work = sae.maps.unfinished().filter(cancel_requested=False).first()
    if at_work or (made := map_of(sae)):
        return at_work or made
    new = DecoderMap(sae=sae, checkpoint_hash=sae.checkpoint_hash, seed=0, requested_by=user, requested_how=how)
    return lifecycle.enqueue(new)


def run_map(lease) -> None:
    """Make a map that this process has the lease of."""
    from ..engine.collect.collected import ThrottledProgress
    from ..engine.weights.decoder_map import decoder_map

    work = lease.work
    sae = SAE.objects.get(pk=work.sae_id)
    lease.phase("reading the weights")
    report = ThrottledProgress(lambda now: lease.phase(now.phase, now.done, now.total))
    decoder = autoencoder_of(sae).W_dec.float().cpu().numpy()
    found = decoder_map(decoder, work.seed, lambda done, total: report("decoder map", done, total))
    with transaction.atomic():
        # Of the weights that were read: those of the row may be others by now.
        lease.finish(places=np.asarray(found, "<f4").tobytes())


# As something that is kept


def _items():
    for row in DecoderMap.objects.filter(state=State.DONE).defer("places").select_related("sae"):
        again = f"Asked for on the overview; this one took {duration((row.finished - row.started).total_seconds())}."
        yield registry.HeldItem(
            str(row.pk),
            f"{row}{'' if row.checkpoint_hash == row.sae.checkpoint_hash else ', of other weights'}",
            lambda row=row: registry.Measured(row_sizes.total(DecoderMap.objects.filter(pk=row.pk), "places")),
            of=row.sae.name,
            url=row.sae.get_absolute_url(),
            made=row.finished,
            again=lambda again=again: again,
        )


def _remove(key):
    DecoderMap.objects.filter(pk=key, state=State.DONE).delete()


registry.register(
    registry.Holding(
        "maps",
        "Maps",
        "The map on the SAE's overview.",
        "Asked for on the overview.",
        _items,
        _remove,
        permission="features.delete_decodermap",
    )
)
