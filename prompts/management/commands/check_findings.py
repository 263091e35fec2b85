"""`manage.py check_findings SAE`: does what stands in findings.json still hold for the statistics and weights?"""

from django.core.management.base import BaseCommand, CommandError

from features.models import SAE
from features.storage.findings_file import FindingsUnreadable, file_of
from prompts import finding_checks


class Command(BaseCommand):
    help = "Check every finding of an SAE against its statistics, and its prompts against the model."

    def add_arguments(self, parser):
        parser.add_argument("sae", metavar="SAE", help="Its short name, as in its address.")

    def handle(self, sae, **options):
        row = SAE.objects.for_pages().filter(slug=sae).first()
        if row is None or row.statistics is None:
            raise CommandError(f"There are no statistics of {sae!r} to check findings against.")
        try:
            outcomes = [self._told(*outcome) for outcome in finding_checks.outcomes(row)]
        except FindingsUnreadable as problem:
            raise CommandError(str(problem)) from problem
        if not outcomes:
            raise CommandError(f"Nothing was found in {sae} yet: there is nothing in {file_of(row.path)}.")
        if not all(outcomes):
            raise CommandError(f"{outcomes.count(False)} of {len(outcomes)} do not hold.")
        self.stdout.write(f"All {len(outcomes)} hold.")

    def _told(self, name, claim, outcome):
        self.stdout.write(f"{'holds' if outcome.holds else 'FAILS'} {name}: {claim}: {outcome.figure}")
        return outcome.holds
