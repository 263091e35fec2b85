"""`manage.py verify_gelu1l`: does the imported GELU-1L give the numbers that were published of it?"""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from features.models import SAE

PUBLISHED = settings.BASE_DIR / "features" / "data" / "gelu_1l_published.json.gz"


class Command(BaseCommand):
    help = "Compare GELU-1L and its first SAE with published numbers; fails where they differ."

    def handle(self, **options):
        from features.engine.published_numbers import compare, read_published
        from features.engine.subject import Subject

        sae = SAE.objects.filter(slug="gelu-1l-run1").first()
        if sae is None:
            raise CommandError("GELU-1L is not here. manage.py import_gelu1l --no-compute brings it.")
        subject = Subject.load(sae.model_path, sae.path, sae.hook_point, device=settings.SAEVIZ_DEVICE)
        compared = compare(subject, read_published(PUBLISHED))
        self.stdout.write(f"{'':12} {'numbers':>8} {'largest off':>12} {'tolerance':>10} {'beyond':>7}")
        for c in compared:
            line = f"{c.kind:12} {c.numbers:8,} {c.largest:12.5f} {c.tolerance:10} {c.beyond:7,}"
            self.stdout.write(line)
        if any(c.beyond for c in compared):
            raise CommandError("Beyond the tolerance: these are not the published weights, or they are read wrongly.")
