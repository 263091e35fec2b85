"""`manage.py import_gelu1l`: the real GELU-1L with its two SAEs, from the hub to pages; again, it goes on."""

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from features.gelu1l import download
from features.importing.plan import has_figures, request_figures
from features.management.downloads import TellsDownloads


class Command(TellsDownloads, BaseCommand):
    help = "Download GELU-1L, two SAEs and a corpus, convert and check them, compute all features."

    def add_arguments(self, parser):
        parser.add_argument("--tokens", type=int, help="Tokens to count. Default: SAEVIZ_TOKENS.")
        parser.add_argument("--text", default="", metavar="PATH", help="Text of your own instead of c4-code-20k.")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--queue", dest="how", action="store_const", const="queue", help="Computed by a worker.")
        how.add_argument("--no-compute", dest="how", action="store_const", const="none", help="Not computed yet.")

    def handle(self, tokens, text, how, **options):
        try:
            saes = download.prepare(text, self._say, self.received).register()
        except (ValueError, OSError) as error:
            raise CommandError(f"{error} What was downloaded is kept.") from error
        for sae in saes:
            self.stdout.write(f"{sae.slug}: {sae.d_sae:,} features at {sae.hook_point}, {sae.get_absolute_url()}")
            self._compute(sae, tokens, how)

    def _say(self, step):
        self.stdout.write(f"{step} ...")

    def _compute(self, sae, tokens, how):
        if how == "queue":
            request_figures(sae, tokens, how="import_gelu1l")
        elif how is None and not has_figures(sae, tokens):
            chosen = min(tokens or settings.SAEVIZ_TOKENS, sae.corpus.tokens)
            call_command("compute_features", sae.slug, tokens=chosen, stdout=self.stdout)
