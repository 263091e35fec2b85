from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("features", "0015_quick_results")]

    operations = [
        migrations.AddField(
            model_name="statistics",
            name="health",
            field=models.JSONField(
                default=dict, help_text="engine/results.py, Health; empty where it was not computed."
            ),
        ),
    ]
