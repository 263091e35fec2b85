"""manage.py kept: what the site keeps, how large each is, and remove one."""

from django.core.management import BaseCommand, CommandError

from features.messages import BadRequest, size
from features.storage.holdings import registry
from saeviz.kept import kinds


class Command(BaseCommand):
    help = "List what the site keeps with its size; with --remove KIND KEY remove one. What is in use is not removed."

    def add_arguments(self, parser):
        parser.add_argument(
            "--remove", nargs=2, metavar=("KIND", "KEY"), help="As the list names them: corpus my-text."
        )

    def handle(self, remove, **options):
        if remove:
            self._remove(*remove)
            return
        for name, holding in kinds.registered().items():
            items = [(item, item.measure()) for item in holding.items()]
            self.stdout.write(f"{name}: {size(sum(measured.bytes for _, measured in items))}. {holding.title}.")
            if items:
                self.stdout.write(f"  Without one: {holding.loses} {holding.again}")
            for item, measured in items:
                self.stdout.write(f"  {item.key:>12}  {size(measured.bytes):>10}  {_said(item, measured)}")

    def _remove(self, name, key):
        try:
            holding, item = registry.find(name, key)
            measured = item.measure()
            registry.remove(name, key)
        except (BadRequest, OSError) as refusal:
            raise CommandError(f"Nothing was removed. {refusal}") from refusal
        again = item.again() if item.again else holding.again
        self.stdout.write(f"Removed: {item.what} ({size(measured.bytes)}). {again}")


def _said(item, measured) -> str:
    used = item.used or measured.used
    return "; ".join(filter(None, [item.what, item.of, used and f"last used {used:%Y-%m-%d}"]))
