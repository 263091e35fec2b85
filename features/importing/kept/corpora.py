"""Corpora: rows of tokens and their documents, with the file they lie in."""

from pathlib import Path

from django.conf import settings
from django.db.models import ProtectedError

from ...engine.foreign_files import in_words
from ...messages import BadRequest
from ...models import Corpus, Import, Job, Run, Statistics
from ...storage.holdings import on_disk, registry


def _items():
    for row in Corpus.objects.all():
        newest = Job.objects.filter(corpus=row).newest_first().values_list("created", flat=True).first()
        yield registry.HeldItem(
            row.slug,
            f"{row.tokens:,} tokens in {in_words(Path(row.path))}",
            lambda row=row: _measured(Path(row.path)),
            of=", ".join(row.saes.values_list("name", flat=True)[:3]) or "no SAE",
            made=row.created,
            used=newest,
        )


def _measured(rows: Path) -> registry.Measured:
    """With the table of documents beside them."""
    each = [on_disk.measured(file) for file in _files(rows)]
    reads = [one.used for one in each if one.used]
    return registry.Measured(sum(one.bytes for one in each), max(reads, default=None))


def _files(rows: Path) -> list[Path]:
    return [file for file in (rows, *rows.parent.glob(f"{rows.stem}.documents.*")) if file.is_file()]


def _over(row: Corpus):
    """Records of jobs that keep the corpus from going, though nothing computed on it is there any more."""
    return Job.objects.filter(corpus=row).exclude(state__in=Job.UNFINISHED).filter(result=None)


def _why_not(key):
    row = Corpus.objects.get(slug=key)
    if busy := registry.at_work(Import.objects.filter(asked__corpus=key), Job.objects.filter(corpus=row)):
        return busy
    saes = [f"the SAE {sae.slug}" for sae in row.saes.all()[:4]]
    sets = [f"statistics {one.pk} ({one})" for one in _sets(row)[:4]]
    runs = [f"the run {run.slug}" for run in _runs(row)[:4]]
    if users := [*saes, *sets, *runs]:
        return f"{row} is used by {', '.join(users[:5])}{' and others' if len(users) > 5 else ''}. Remove them first."
    return ""


def _sets(row: Corpus):
    return Statistics.objects.filter(corpus=row).select_related("sae", "corpus")


def _runs(row: Corpus):
    return Run.objects.filter(corpus=row) | Run.objects.filter(rows=row)


def _remove(key):
    """The row, the records of jobs that are over, and the files where they are the site's own."""
    row = Corpus.objects.get(slug=key)
    path = Path(row.path)
    _over(row).delete()
    try:
        row.delete()
    except ProtectedError as error:
        users = sorted({str(one) for one in error.protected_objects})
        raise BadRequest(f"{row} is used by {', '.join(users[:5])}. Remove them first.") from error
    home = settings.DATA_DIR / "corpora"
    if path.is_relative_to(home):
        for file in _files(path):
            file.unlink(missing_ok=True)
        if path.parent != home and not any(path.parent.iterdir()):  # made by a restore
            path.parent.rmdir()


registry.register(
    registry.Holding(
        "corpus",
        "Corpora",
        "A text that statistics can be computed on, and the record of what was computed on it. A file that is not the "
        "site's own stays.",
        "Add the text again (manage.py add_corpus): it is tokenised anew.",
        _items,
        _remove,
        _why_not,
        "features.delete_corpus",
    )
)
