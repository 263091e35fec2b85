"""`manage.py kept_activations [SAE]`: what kept activations take, whether their files are whole, and free them."""

from django.core.management.base import BaseCommand, CommandError

from features.messages import BadRequest, size
from features.models import SAE, KeptActivations
from features.storage import kept_activations
from features.storage.holdings import rows


class Command(BaseCommand):
    help = "List the activations that were kept for questions; with --check read them all, with --free remove them."

    def add_arguments(self, parser):
        parser.add_argument("sae", metavar="SAE", nargs="?", help="Its short name. Default: those of all SAEs.")
        parser.add_argument("--check", action="store_true", help="Compare every file with its checksum.")
        parser.add_argument("--free", action="store_true", help="Remove the files. Statistics and pages stay.")

    def handle(self, sae, check, free, **options):
        kept = KeptActivations.objects.select_related("statistics__sae", "statistics__corpus")
        if sae is not None:
            kept = kept.filter(statistics__sae=_sae(sae))
        if not kept:
            self.stdout.write("No activations are kept. A computation of all features keeps them.")
        wrong = [row for row in kept if not self._tell(row, check, free)]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(kept)} sets are damaged. Recompute their statistics.")

    def _tell(self, row, check, free) -> bool:
        """Whether nothing is wrong with it."""
        if not row.is_complete:
            self.stdout.write(f"{row.statistics}: none. {row.why_not or 'They are being written.'}")
            return True
        if free:
            try:
                self.stdout.write(f"{row.statistics}: freed {size(rows.free(row))}.")
            except BadRequest as refusal:
                raise CommandError(str(refusal)) from refusal
            return True
        self.stdout.write(f"{row.statistics}: {size(row.bytes)} in {kept_activations.path_of(row)}.")
        wrong = kept_activations.check(row) if check else ""
        if check:
            self.stdout.write(f"  {wrong or 'As they were written.'}")
        return not wrong


def _sae(slug):
    try:
        return SAE.objects.get(slug=slug)
    except SAE.DoesNotExist:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"No SAE is called {slug!r}. Known: {known}.") from None
