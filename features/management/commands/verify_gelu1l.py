"""`manage.py verify_gelu1l`: does the imported GELU-1L give the numbers that were published of it?"""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from features.management.commands.compute_features import Bar
from features.models import SAE, Corpus
from features.storage.readers import autoencoder_of, rows_of, subject_of

PUBLISHED = settings.BASE_DIR / "features" / "gelu1l" / "data" / "gelu_1l_published.json.gz"
NO_CORPUS = (
    "Not compared without the corpus c4-code-20k (manage.py import_gelu1l brings it): its rows, and the counts, "
    "quantiles and correlations of features on it."
)


class Command(BaseCommand):
    help = "Compare GELU-1L and its SAEs with published numbers; fails where they differ."

    def add_arguments(self, parser):
        parser.add_argument("--quick", action="store_true", help="Without the pass over the corpus (a minute or two).")

    def handle(self, quick, **options):
        from features.gelu1l.published_numbers import compare, read_published

        sae = SAE.objects.filter(slug="gelu-1l-run1").first()
        if sae is None:
            raise CommandError("GELU-1L is not here. manage.py import_gelu1l --no-compute brings it.")
        subject = subject_of(sae)
        published = read_published(PUBLISHED)
        found = compare(subject, published)
        if not quick:
            found += self._on_corpus(subject, published)
        self._tell(found)

    def _on_corpus(self, subject, published):
        from features.gelu1l.published_corpus import compare_on_corpus

        corpus = Corpus.objects.filter(slug="c4-code-20k").first()
        if corpus is None:
            self.stdout.write(NO_CORPUS)
            return []
        b = SAE.objects.filter(slug="gelu-1l-run2").first()
        with Bar() as bar:
            return compare_on_corpus(
                subject, published, rows_of(corpus), b and autoencoder_of(b).to(subject.device), progress=bar
            )

    def _tell(self, found):
        self.stdout.write(f"{'':22} {'numbers':>8} {'largest off':>12} {'tolerance':>10} {'beyond':>7}")
        for c in found:
            self.stdout.write(f"{c.kind:22} {c.numbers:8,} {c.largest:12.5f} {c.tolerance:10} {c.beyond:7,}")
        if any(c.beyond for c in found):
            raise CommandError("Beyond the tolerance: these are not the published weights, or they are read wrongly.")
