"""`manage.py watch DIR`: every checkpoint below a folder, there or appearing later, becomes a moment of a run."""

import os
import time
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from features.jobs import worker
from features.messages import BadRequest, size
from features.models import Checkpoint, Watch
from features.runs import records, removal
from features.runs.claims import held
from features.runs.intake import fixed_rows, watching
from features.tasks import KINDS

LOOK_EVERY = 2.0


class Command(BaseCommand):
    help = "Follow a training: checkpoints below DIR become runs. A worker computes them; with --compute, this process."

    def add_arguments(self, parser):
        parser.add_argument("path", metavar="DIR", nargs="?", help="Default: list what is watched, and what it takes.")
        parser.add_argument("--model", help="Folder or name of the language model, where the files do not say.")
        parser.add_argument("--hook", help="Where the model is read: blocks.0.mlp.hook_post ...")
        parser.add_argument("--corpus", help="Text, or the short name of a corpus, that rows are drawn from.")
        parser.add_argument(
            "--answer", action="append", default=[], metavar="NAME=VALUE", help="What the files do not say: k=32."
        )
        parser.add_argument(
            "--every", type=int, help="Read first, last and every so manieth; 1: all; 0: as many as fit."
        )
        parser.add_argument("--compute", action="store_true", help="Compute here, and go on looking until Ctrl-C.")
        parser.add_argument("--once", action="store_true", help="With --compute: end when nothing waits any more.")
        parser.add_argument(
            "--claims", action="store_true", help="Read again where claims were made since, to test them."
        )
        parser.add_argument("--end", action="store_true", help="Look no longer. What was read stays.")
        parser.add_argument("--free", action="store_true", help="Look no longer, and remove what was read. Files stay.")

    def handle(self, path, answer, compute, once, claims, end, free, **options):
        if path is None:
            return self._list()
        if (folder := Path(path).expanduser().absolute()) and not folder.is_dir() and not (end or free):
            raise CommandError(
                f"{folder} is no folder that can be read. Name the one that checkpoints are written into."
            )
        if end or free:
            return self._free(folder) if free else self._end(folder)
        watch = _watch(folder, answer, options)
        self._look(watch)
        if claims:
            self.stdout.write(f"Claims are tested at {sum(map(held.test_again, watch.runs.all())):,} checkpoints.")
        if not compute:
            address = f"{os.environ.get('ADDRESS', '')}/runs/"
            self.stdout.write(f"Watching {folder}. Its runs: {address}; workers compute what appears.")
            return None
        return self._compute(watch, once)

    def _look(self, watch) -> None:
        found = watching.look(watch)
        watch.refresh_from_db()
        if found:
            self.stdout.write(f"{len(found):,} {'checkpoint' if len(found) == 1 else 'checkpoints'} to read.")
        for said in filter(None, (watch.problem, watch.note) if found else (watch.problem,)):
            self.stdout.write(said)

    def _compute(self, watch, once) -> None:
        worker.keep_within()
        told = set(watch.checkpoints.filter(state__in=("done", "failed")).values_list("pk", flat=True))
        try:
            while True:
                worker.work(KINDS)
                for checkpoint in watch.checkpoints.exclude(pk__in=told).filter(state__in=("done", "failed")):
                    told.add(checkpoint.pk)
                    said = checkpoint.error or f"{checkpoint.run}: {checkpoint.label}"
                    self.stdout.write(said)
                if once and not watch.checkpoints.unfinished().exists():
                    return
                time.sleep(LOOK_EVERY)
                self._look(watch)
        except KeyboardInterrupt:
            self.stdout.write("Ended. What was read stays; the next look goes on from here.")

    def _end(self, folder) -> None:
        if not Watch.objects.filter(path=str(folder)).update(ended=True):
            known = ", ".join(Watch.objects.values_list("path", flat=True)) or "none"
            raise CommandError(f"{folder} is not watched. Watched are: {known}.")
        self.stdout.write(f"{folder} is watched no longer.")

    def _free(self, folder) -> None:
        self._end(folder)
        watch = Watch.objects.get(path=str(folder))
        read, saes = removal.taken(watch)
        try:
            removal.remove(watch)
        except BadRequest as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"Removed records of {size(read)} and the panels of {saes:,} checkpoints. The files stay.")

    def _list(self) -> None:
        for watch in Watch.objects.all():
            self.stdout.write(f"{watch.path}{' (ended)' if watch.ended else ''} {watch.problem}".rstrip())
            for run in watch.runs.all():
                count = run.checkpoints.exclude(measured=None).count()
                self.stdout.write(
                    f"  {run.slug}: {count:,} checkpoints, records of {size(records.bytes_of(run))}, "
                    f"the model's activations on its rows {size(fixed_rows.kept_of(run.rows))}"
                )
        if not Watch.objects.exists():
            self.stdout.write("Nothing is watched. manage.py watch DIR begins.")


def _watch(folder, answer, options) -> Watch:
    """The row of this folder, with what is said now in place of what was said before; what failed is read again."""
    wrong = [each for each in answer if "=" not in each]
    if wrong:
        raise CommandError(f"--answer {wrong[0]} names no value. Write --answer NAME=VALUE, as in --answer k=32.")
    if (options["every"] or 0) < 0:
        raise CommandError(f"--every {options['every']} is no number of checkpoints; from 0 on.")
    said = {name: options[name] for name in ("model", "hook", "corpus") if options[name]}
    said |= {"answers": dict(each.split("=", 1) for each in answer)} if answer else {}
    watch, new = Watch.objects.get_or_create(path=str(folder), defaults={"asked": said, "every": options["every"] or 0})
    if not new:
        every = watch.every if options["every"] is None else options["every"]
        Watch.objects.filter(pk=watch.pk).update(asked=watch.asked | said, every=every, ended=False)
        watch.checkpoints.filter(state__in=Checkpoint.ENDED_EARLY).delete()
        watch.refresh_from_db()
    return watch
