"""manage.py kept: what the site keeps, how large each is, and remove one."""

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from features.jobs import leftovers  # noqa: F401  (registers what is its own)
from features.messages import BadRequest, size
from features.storage import holdings

HUB = settings.DATA_DIR / "hub"
holdings.register(
    holdings.Holding(
        "hub",
        "a download: an SAE that was imported from it cannot be read",
        lambda: holdings.folders_below(HUB, "downloaded to"),
        lambda key: holdings.remove_below(HUB, key),
    )
)


class Command(BaseCommand):
    help = "List what the site keeps with its size; with --remove KIND KEY remove one. What is in use is not removed."

    def add_arguments(self, parser):
        parser.add_argument(
            "--remove", nargs=2, metavar=("KIND", "KEY"), help="As the list names them: corpus my-text."
        )

    def handle(self, remove, **options):
        if remove:
            try:
                gone = holdings.remove(*remove)
            except (BadRequest, OSError) as refusal:
                raise CommandError(f"Nothing was removed. {refusal}") from refusal
            self.stdout.write(f"Removed: {gone.what} ({size(gone.bytes)}).")
            return
        for name, holding in holdings.REGISTERED.items():
            items = list(holding.items())
            self.stdout.write(f"{name}: {size(sum(item.bytes for item in items))}. Without one: {holding.loses}.")
            for item in items:
                self.stdout.write(f"  {item.key:>12}  {size(item.bytes):>10}  {item.what}")
