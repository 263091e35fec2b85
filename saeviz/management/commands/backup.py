"""manage.py backup FILE: everything that was found, computed and judged here, in one file."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError

from features.messages import disk_full, is_disk_full, size
from saeviz.backup import archive


class Command(BaseCommand):
    help = "Write rows, corpora, findings, labels and jobs into one file, as they are at this moment; the site may run."

    def add_arguments(self, parser):
        parser.add_argument("file", metavar="FILE", type=Path, help="A zip file; one of that name is replaced.")
        parser.add_argument("--activations", action="store_true", help="With the kept activations: often gigabytes.")
        parser.add_argument("--checkpoints", action="store_true", help="With what lies in checkpoints/ of DATA_DIR.")

    def handle(self, file, activations, checkpoints, **options):
        try:
            manifest = archive.write(file, activations, checkpoints, self.stdout.write)
        except OSError as error:
            if is_disk_full(error):
                raise CommandError(f"{file} was not written. {disk_full(error)}") from error
            raise CommandError(f"{file} was not written ({error.strerror or error}). Choose another place.") from error
        count = sum(table["rows"] for table in manifest["tables"].values())
        said = f"{count:,} rows and {len(manifest['files'])} files are in {file} ({size(file.stat().st_size)})."
        self.stdout.write(f"{said} It holds password hashes: keep it as closed as DATA_DIR.")
