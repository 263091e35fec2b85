"""manage.py backup FILE: everything that was found, computed and judged here, in one file."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError
from django.utils import timezone

from features.messages import disk_full, is_disk_full, size
from saeviz.backup import archive
from saeviz.kept import kinds


class Command(BaseCommand):
    help = "Write rows, corpora, findings, labels and jobs into one file, as they are at this moment; the site may run."

    def add_arguments(self, parser):
        file = "A zip file; one of that name is replaced. Default: one of this minute in backups/ of DATA_DIR."
        parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help=file)
        parser.add_argument("--activations", action="store_true", help="With the kept activations: often gigabytes.")
        parser.add_argument("--checkpoints", action="store_true", help="With what lies in checkpoints/ of DATA_DIR.")

    def handle(self, file, activations, checkpoints, **options):
        file = file or kinds.backups() / f"saeviz-{timezone.localtime():%Y-%m-%d-%H%M}.zip"
        try:
            manifest = archive.write(file, activations, checkpoints, self.stdout.write)
        except OSError as error:
            if is_disk_full(error):
                raise CommandError(f"{file} was not written. {disk_full(error)}") from error
            raise CommandError(f"{file} was not written ({error.strerror or error}). Choose another place.") from error
        count = sum(table["rows"] for table in manifest["tables"].values())
        said = f"{count:,} rows and {len(manifest['files'])} files are in {file} ({size(file.stat().st_size)})."
        self.stdout.write(f"{said} It holds password hashes: keep it as closed as DATA_DIR.")
