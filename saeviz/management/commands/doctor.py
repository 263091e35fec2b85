"""manage.py doctor: what is wrong with this installation, and how to mend it."""

import json
import sys

from django.core.management import BaseCommand

from saeviz.observability import doctor


class Command(BaseCommand):
    help = "Say what is wrong with this installation, and how to mend it. Ends with 1 where something has to be."
    requires_system_checks = []  # they are findings

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help="an object for each finding, a line each")

    def handle(self, *args, json: bool, **options):
        say = self._as_json if json else self._as_text
        wrong = 0
        for finding in doctor.examine():
            say(finding)
            wrong += finding.state == doctor.WRONG
        if wrong:
            sys.exit(1)

    def _as_json(self, finding):
        self.stdout.write(json.dumps(finding.as_dict()))

    def _as_text(self, finding):
        style = {doctor.FINE: self.style.SUCCESS, doctor.WARNING: self.style.WARNING, doctor.WRONG: self.style.ERROR}
        self.stdout.write(f"{style[finding.state](f'{finding.state:>8}')}  {finding.subject}: {finding.what}")
        if finding.mend:
            self.stdout.write(f"          {finding.mend}")
