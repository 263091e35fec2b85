"""`manage.py load_demo`: make the demo bundle readable on the site. Run again, it finds nothing to do."""

from django.core.management.base import BaseCommand, CommandError

from features.importing import demo


class Command(BaseCommand):
    help = "Register the demo's SAE and corpus; run again, it changes nothing."

    def add_arguments(self, parser):
        parser.add_argument(
            "--pack-rows",
            action="store_true",
            help="for who changes the bundle's texts or tokenizer: make the token rows that it ships anew",
        )

    def handle(self, **options):
        try:
            if options["pack_rows"]:
                demo.pack_rows()
            sae, changed = demo.load()
        except (ValueError, OSError) as error:
            raise CommandError(f"The demo cannot be loaded: {error}") from error
        corpus = sae.corpus
        self.stdout.write(
            f"{sae.slug}: {sae.d_sae:,} features; {corpus.name}: {corpus.tokens:,} tokens"
            + ("." if changed else "; nothing to do.")
        )
