import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Computations, imports and verifications are told of by the same fields."""

    dependencies = [
        ('features', '0007_where_fields_are_described'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RenameField('import', 'step', 'phase'),
        migrations.RenameField('import', 'heard', 'heartbeat'),
        migrations.AddField(
            model_name='import',
            name='attempts',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='import',
            name='finished',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='import',
            name='requested_how',
            field=models.CharField(blank=True, help_text='admin, command, first start ...', max_length=60),
        ),
        migrations.AddField(
            model_name='import',
            name='started',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='import',
            name='done',
            field=models.PositiveBigIntegerField(default=0, help_text='Of the phase.'),
        ),
        migrations.AlterField(
            model_name='import',
            name='heartbeat',
            field=models.DateTimeField(help_text='When it was last heard of.', null=True),
        ),
        migrations.AlterField(
            model_name='import',
            name='rate',
            field=models.FloatField(default=0, help_text='Units of the phase per second.'),
        ),
        migrations.AlterField(
            model_name='import',
            name='state',
            field=models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], db_index=True, default='queued', max_length=12),
        ),
        migrations.AlterField(
            model_name='import',
            name='total',
            field=models.PositiveBigIntegerField(default=0, help_text='Of the phase; 0: nothing is counted.'),
        ),
        migrations.AlterField(
            model_name='job',
            name='alone',
            field=models.BooleanField(default=False, help_text='Done by the process that asked; workers leave it alone.'),
        ),
        migrations.AlterField(
            model_name='job',
            name='done',
            field=models.PositiveBigIntegerField(default=0, help_text='Of the phase.'),
        ),
        migrations.AlterField(
            model_name='job',
            name='heartbeat',
            field=models.DateTimeField(help_text='When it was last heard of.', null=True),
        ),
        migrations.AlterField(
            model_name='job',
            name='phase',
            field=models.CharField(blank=True, help_text='What it is at; while a file comes, its name.', max_length=300),
        ),
        migrations.AlterField(
            model_name='job',
            name='total',
            field=models.PositiveBigIntegerField(default=0, help_text='Of the phase; 0: nothing is counted.'),
        ),
        migrations.AlterField(
            model_name='jobpart',
            name='heartbeat',
            field=models.DateTimeField(help_text='When its worker was last heard of.', null=True),
        ),
        migrations.AlterField(
            model_name='sae',
            name='verification',
            field=models.JSONField(blank=True, editable=False, help_text='The last that was done.', null=True),
        ),
        migrations.CreateModel(
            name='Verification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], db_index=True, default='queued', max_length=12)),
                ('phase', models.CharField(blank=True, help_text='What it is at; while a file comes, its name.', max_length=300)),
                ('done', models.PositiveBigIntegerField(default=0, help_text='Of the phase.')),
                ('total', models.PositiveBigIntegerField(default=0, help_text='Of the phase; 0: nothing is counted.')),
                ('rate', models.FloatField(default=0, help_text='Units of the phase per second.')),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('error', models.TextField(blank=True)),
                ('requested_how', models.CharField(blank=True, help_text='admin, command, first start ...', max_length=60)),
                ('created', models.DateTimeField(default=django.utils.timezone.now)),
                ('started', models.DateTimeField(null=True)),
                ('heartbeat', models.DateTimeField(help_text='When it was last heard of.', null=True)),
                ('finished', models.DateTimeField(null=True)),
                ('requested_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL)),
                ('sae', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='verifications', to='features.sae')),
            ],
            options={
                'ordering': ['-id'],
                'abstract': False,
            },
        ),
    ]
