from django.db import migrations, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime

BATCH = 500  # rows in one transaction
ENDED = ('done', 'failed', 'cancelled')


def say_when_imports_ended(apps, schema_editor):
    """As long as it was heard of: no more was known."""
    imports = apps.get_model('features', 'Import').objects
    left = imports.filter(state__in=ENDED, finished=None).exclude(heartbeat=None).order_by('pk')
    while some := list(left.values_list('pk', flat=True)[:BATCH]):
        imports.filter(pk__in=some).update(finished=F('heartbeat'))


def give_verifications_rows(apps, schema_editor):
    """One that waits or has failed becomes a row; the outcome of one that was done stays where it is."""
    SAE, Verification = (apps.get_model('features', name) for name in ('SAE', 'Verification'))
    left = SAE.objects.filter(verification__state__in=('queued', 'failed')).order_by('pk')
    while some := list(left[:BATCH]):
        with transaction.atomic():
            Verification.objects.bulk_create(_verification(Verification, sae) for sae in some)
            SAE.objects.filter(pk__in=[sae.pk for sae in some]).update(verification=None)


def _verification(Verification, sae):
    said = sae.verification
    when = parse_datetime(said.get('asked') or said.get('when') or '') or timezone.now()
    ended = {'error': said['error'], 'finished': when} if said['state'] == 'failed' else {}
    return Verification(sae=sae, state=said['state'], created=when, **ended)


class Migration(migrations.Migration):
    """Done in batches; broken off, it goes on with what is left."""

    atomic = False

    dependencies = [
        ('features', '0008_one_life_cycle'),
    ]

    operations = [
        migrations.RunPython(say_when_imports_ended, migrations.RunPython.noop),
        migrations.RunPython(give_verifications_rows, migrations.RunPython.noop),
    ]
