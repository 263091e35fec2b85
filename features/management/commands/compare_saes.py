"""`manage.py compare_saes SAE OTHER`: how many features two SAEs at the same place share, above chance."""

from django.core.management.base import BaseCommand, CommandError

from features.jobs import worker
from features.messages import BadRequest
from features.models import SAE, Comparison
from features.runs.beside import dictionaries


class Command(BaseCommand):
    help = "Hold all features of an SAE beside those of another that reads the same place, in this process."

    def add_arguments(self, parser):
        parser.add_argument("sae", help="Short name, as addresses have it.")
        parser.add_argument("other", help="Beside which.")

    def handle(self, sae, other, **options):
        try:
            asked = dictionaries.request(_sae(sae), _sae(other), how="command")
        except BadRequest as refusal:
            raise CommandError(str(refusal)) from refusal
        worker.work({Comparison: dictionaries.run_comparison})
        asked.refresh_from_db()
        if asked.error:
            raise CommandError(asked.error)
        if asked.state != Comparison.State.DONE:
            where = f"{asked.sae.get_absolute_url()}beside/?other={asked.other.slug}"
            raise CommandError(f"A worker has taken comparison {asked.pk}; {where} shows how far it is.")
        whole = sum(asked.figures["shares"].values())
        for name, count in asked.figures["shares"].items():
            self.stdout.write(f"{name:16} {count:7,} of {whole:,} ({count / whole:.1%})")
        self.stdout.write(
            f"A random direction reaches a cosine of {asked.figures['decoder_chance']:.3f} once in a hundred times."
        )
        if why := asked.figures["why_no_activity"]:
            self.stdout.write(why)


def _sae(slug: str) -> SAE:
    found = SAE.objects.for_pages().filter(slug=slug).first()
    if found is None:
        raise CommandError(
            f"There is no SAE {slug!r}. There are: {', '.join(SAE.objects.values_list('slug', flat=True))}."
        )
    return found
