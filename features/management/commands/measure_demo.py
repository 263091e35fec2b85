"""How good is a bundle? `manage.py measure_demo DIR --held-out rows.npy` prints its figures."""

import json
from dataclasses import asdict
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Measures a model and its SAE: losses, L0, explained variance, dead, dense and twin features."
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("bundle", type=Path, help="folder with model/ and sae/")
        parser.add_argument("--held-out", type=Path, required=True, help="token rows (.npy), BOS first")
        parser.add_argument("--corpus", type=Path, default=settings.BASE_DIR / "features" / "demo" / "corpus")
        parser.add_argument("--tokens", type=int, default=500_000, help="for the densities")
        parser.add_argument("--nice", type=int, default=19, help="0 to compete with other programs")
        parser.add_argument("--json", action="store_true")

    def handle(self, bundle, held_out, corpus, tokens, nice, **options):
        from features.demo.making import bundle as bundles
        from features.demo.making import parallel
        from features.engine.corpus.token_rows import open_rows

        parallel.be_nice(nice)
        try:
            figures = bundles.measure(bundle, open_rows(held_out), corpus, tokens)
        except (ValueError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(asdict(figures)) if options["json"] else "\n".join(figures.lines()))
