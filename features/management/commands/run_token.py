"""`manage.py run_token NAME`: a token with which one training uploads its checkpoints; shown once."""

from django.core.management.base import BaseCommand, CommandError

from features.models import RunToken
from features.runs.intake import uploads


class Command(BaseCommand):
    help = "Make a token for the checkpoints of one training, or revoke it. Without NAME: list them."

    def add_arguments(self, parser):
        parser.add_argument("name", metavar="NAME", nargs="?", help="Of the run.")
        parser.add_argument("--model", help="Folder or name of the language model, where the files do not say.")
        parser.add_argument("--hook", help="Where the model is read.")
        parser.add_argument("--corpus", help="The short name of a corpus that rows are drawn from.")
        parser.add_argument("--revoke", action="store_true", help="Take no more with it. What has come stays.")

    def handle(self, name, revoke, **options):
        if name is None:
            return self._list()
        if revoke:
            if not RunToken.objects.filter(name=name).update(revoked=True):
                raise CommandError(f"There is no token {name!r}. `manage.py run_token` lists them.")
            self.stdout.write(f"The token of {name} is taken no more.")
            return None
        asked = {key: options[key] for key in ("model", "hook", "corpus") if options[key]}
        try:
            token = uploads.make_token(name, asked)
        except ValueError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{token}\nIt is shown once. Checkpoints come to /runs/upload/ (features/runs/callback.py).")
        return None

    def _list(self):
        for token in RunToken.objects.all():
            used = f"last used {token.used:%Y-%m-%d %H:%M}" if token.used else "never used"
            self.stdout.write(f"{token.name}: {'revoked, ' if token.revoked else ''}{used}")
