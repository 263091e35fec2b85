import django.db.models.deletion
from django.db import migrations, models

BATCH = 200


def move_back(apps, schema_editor):
    """Put payloads back into the rows of their features, where the version before looks for them."""
    Feature, FeaturePayload = (apps.get_model("features", name) for name in ("Feature", "FeaturePayload"))
    while batch := list(FeaturePayload.objects.order_by("pk")[:BATCH]):
        for stored in batch:
            old = {"old_quantiles": bytes(stored.quantiles), "old_payload": bytes(stored.payload)}
            Feature.objects.filter(pk=stored.pk).update(**old)
        FeaturePayload.objects.filter(pk__in=[stored.pk for stored in batch]).delete()


class Migration(migrations.Migration):
    """Makes an empty table, in no time. Workers fill it batch by batch: features/storage/move_payloads.py."""

    dependencies = [("features", "0010_what_a_checkpoint_is")]

    operations = [
        migrations.SeparateDatabaseAndState(  # the columns stay as they are, and are called so only in the code
            state_operations=[
                migrations.RenameField("feature", "quantiles", "old_quantiles"),
                migrations.RenameField("feature", "payload", "old_payload"),
                migrations.AlterField("feature", "old_quantiles", models.BinaryField(db_column="quantiles", default=b"")),
                migrations.AlterField("feature", "old_payload", models.BinaryField(db_column="payload", default=b"")),
            ]
        ),
        migrations.CreateModel(
            name="FeaturePayload",
            fields=[
                (
                    "feature",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="stored",
                        serialize=False,
                        to="features.feature",
                    ),
                ),
                (
                    "quantiles",
                    models.BinaryField(help_text="float32 values at the ranks of engine/activity/quantiles.py."),
                ),
                ("payload", models.BinaryField(help_text="See storage/payload.py.")),
            ],
        ),
        migrations.RunPython(migrations.RunPython.noop, move_back),
    ]
