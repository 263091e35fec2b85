from django.db import migrations, models


def begin_anew(apps, schema_editor):
    """Parts of jobs that have not ended were cut into other stages: these jobs are planned again."""
    Job = apps.get_model("features", "Job")
    apps.get_model("features", "JobPart").objects.all().delete()
    apps.get_model("features", "ShardFile").objects.all().delete()
    Job.objects.filter(state="running").update(state="queued")
    Job.objects.exclude(inputs="").update(inputs="", result=None)


class Migration(migrations.Migration):
    dependencies = [("features", "0005_job_parts")]

    operations = [
        migrations.RunPython(begin_anew, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="jobpart",
            name="stage",
            field=models.PositiveSmallIntegerField(
                choices=[
                    (0, "loading"), (1, "activations"), (2, "merging"), (3, "examples"), (4, "loss effects"),
                    (5, "features"), (6, "showing"),
                ]
            ),
        ),
    ]  # fmt: skip
