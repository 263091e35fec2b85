"""What this room keeps, registered: kept activations, and findings beside weights."""

from pathlib import Path

from django.conf import settings

from ...messages import BadRequest
from ...models import SAE, Analysis, Comparison, KeptActivations
from .. import findings_file, kept_activations
from . import on_disk, questions
from .registry import HeldItem, Holding, Measured, at_work, register


def _activations():
    rows = KeptActivations.objects.exclude(manifest="").select_related("statistics__sae", "statistics__corpus")
    for row in rows:
        path, sae = kept_activations.path_of(row), row.statistics.sae
        shown = "" if sae.statistics_id == row.statistics_id else "Its statistics are not shown"
        yield HeldItem(
            str(row.pk),
            f"{row.entries:,} active entries in {path}" + (f". {shown}" if shown else ""),
            lambda row=row, path=path: Measured(row.bytes, on_disk.measured(path).used),
            of=str(row.statistics),
            url=sae.get_absolute_url(),
            made=row.statistics.completed,
        )


def why_not_free(row: KeptActivations) -> str:
    """Who reads these activations now; empty where nobody does."""
    if questions.is_read(kept_activations.path_of(row)):
        return "A question is being asked of them. Wait until it is answered."
    sae, compared = row.statistics.sae_id, Comparison.objects.all()
    begun = Analysis.objects.filter(statistics=row.statistics_id, state=Analysis.State.RUNNING)
    return at_work(begun, compared.filter(sae=sae), compared.filter(other=sae))


def _why_not_activations(key):
    return why_not_free(KeptActivations.objects.select_related("statistics").get(pk=key))


def free(row: KeptActivations) -> int:
    """Remove a set's files, and the analysis that waits to read them; how many bytes that were. Raises BadRequest
    while somebody reads them."""
    if why_not := why_not_free(row):
        raise BadRequest(f"{row.statistics}: {why_not}")
    Analysis.objects.filter(statistics=row.statistics_id, state=Analysis.State.QUEUED).delete()  # nothing to read
    return kept_activations.free(row)


def _free(key):
    free(KeptActivations.objects.select_related("statistics").get(pk=key))


def _findings():
    for sae in SAE.objects.all():
        file = findings_file.file_of(sae.path)
        if file.is_file():
            made = on_disk.moment(file.stat().st_mtime)
            yield HeldItem(
                sae.slug,
                str(file),
                lambda file=file: on_disk.measured(file),
                of=sae.name,
                url=sae.get_absolute_url(),
                made=made,
            )


def _why_not_findings(key):
    """What comes with the site, or lies where only commands read, is not the site's to remove."""
    file = findings_file.file_of(SAE.objects.get(slug=key).path)
    homes = [settings.DATA_DIR, *filter(None, settings.SAEVIZ_FOLDERS)]
    if any(file.resolve().is_relative_to(Path(home).resolve()) for home in homes):
        return ""
    return f"{file} lies outside of DATA_DIR and SAEVIZ_FOLDERS: it is not the site's to remove. Remove it by hand."


def _remove_findings(key):
    try:
        findings_file.file_of(SAE.objects.get(slug=key).path).unlink()
    except OSError as error:
        raise BadRequest(f"The findings could not be removed: {error.strerror or error}.") from error


register(
    Holding(
        "activations",
        "Kept activations",
        "Ask, claims by patterns, side by side and analyses cannot read them any more. Statistics and pages stay.",
        "Compute all features again.",
        _activations,
        _free,
        _why_not_activations,
        "features.delete_keptactivations",
    )
)
register(
    Holding(
        "findings",
        "Findings",
        "What people found in the SAE, as its pages and first prompts show it.",
        "Nothing makes them again but a copy or a backup of the file.",
        _findings,
        _remove_findings,
        _why_not_findings,
        "features.delete_sae",
    )
)
