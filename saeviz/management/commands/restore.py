"""manage.py restore FILE: what a backup holds, put back here."""

from pathlib import Path

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from saeviz.backup import archive
from saeviz.running import preflight


class Command(BaseCommand):
    help = "Put back what a backup holds: into an empty database, or with --replace in place of all that this one has."
    requires_system_checks = []  # the tables may not be there yet

    def add_arguments(self, parser):
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--replace", action="store_true", help="Remove everything that the database has first.")

    def handle(self, file, replace, **options):
        try:
            preflight.make_writable(settings.DATA_DIR)
            with preflight.lock(settings.DATA_DIR):
                manifest, said = archive.read(file, replace)
        except preflight.PreflightError as running:
            raise CommandError(f"{running} A restore needs it ended.") from running
        except (archive.BackupError, OSError) as error:
            raise CommandError(f"Nothing was restored. {error}") from error
        for sentence in said:
            self.stdout.write(sentence)
        count = sum(table["rows"] for table in manifest["tables"].values())
        self.stdout.write(f"Restored {count:,} rows and {len(manifest['files'])} files, written {manifest['written']}.")
