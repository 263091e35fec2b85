"""Rows of a job's parts and of the files that parts leave for each other."""

from django.db import models


class JobPartQuerySet(models.QuerySet):
    def unfinished(self):
        return self.exclude(state=JobPart.State.DONE)

    def waiting(self):
        return self.filter(state=JobPart.State.WAITING)

    def quick(self):
        return self.filter(stage=JobPart.Stage.QUICK)

    def in_order(self):
        """Those of the stages that follow one another."""
        return self.exclude(stage=JobPart.Stage.QUICK)

    def running(self):
        return self.filter(state=JobPart.State.RUNNING)

    def give_back(self) -> int:
        """Those that somebody works on wait for another worker; how many."""
        return self.running().update(state=JobPart.State.WAITING, done=0)

    def silent_since(self, moment):
        """Running in a job that goes on, but not heard from since: their worker is gone."""
        return self.running().filter(heartbeat__lt=moment, job__state="running")


class JobPart(models.Model):
    """What one worker does of a job at a time: which part it is, who has it, how far it is."""

    class Stage(models.IntegerChoices):
        """In this order; the parts of a stage can be done at the same time, by as many workers as there are. But the
        quick look, where there is one, is begun first, and the shards beside it by whoever is left."""

        PLAN = 0, "loading"
        SHARD = 1, "activations"
        MERGE = 2, "merging"
        CHOICE = 3, "examples"
        EFFECTS = 4, "loss effects"
        BLOCK = 5, "features"
        SHOW = 6, "showing"
        QUICK = 7, "quick results"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"

    job = models.ForeignKey("features.Job", models.CASCADE, related_name="parts")
    stage = models.PositiveSmallIntegerField(choices=Stage)
    number = models.PositiveIntegerField(default=0, help_text="Within its stage.")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(default=0, help_text="Tokens or features, as the stage counts.")
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True, help_text="Machine and process that has or had it.")
    started = models.DateTimeField(null=True)
    heartbeat = models.DateTimeField(null=True, help_text="When its worker was last heard of.")

    objects = JobPartQuerySet.as_manager()

    class Meta:
        ordering = ["job", "stage", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "stage", "number"], name="job_part_once")]
        indexes = [models.Index(fields=["state", "heartbeat"], name="job_part_state")]

    def __str__(self):
        return f"{self.get_stage_display()} {self.number} of job {self.job_id}"


class ShardFile(models.Model):
    """A piece of what a part left in files, for workers on machines that share only the database."""

    job = models.ForeignKey("features.Job", models.CASCADE, related_name="files")
    name = models.CharField(max_length=60, help_text="Folder of the part: shard-0003, merged.")
    number = models.PositiveIntegerField(help_text="Place among the pieces of its name.")
    piece = models.BinaryField(help_text="Of a tar file.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name", "number"], name="shard_file_once")]
