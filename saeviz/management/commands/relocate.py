"""manage.py relocate: rows name files where they are now, after DATA_DIR, the checkout or a folder was moved."""

from django.core.management import BaseCommand

from features.storage import relocation


class Command(BaseCommand):
    help = "Find what was moved: files that rows name and that are not there, by their names and checksums."

    def handle(self, **options):
        for sentence in relocation.relocate() or ["Every file that a row names is where it says, or was not found."]:
            self.stdout.write(sentence)
