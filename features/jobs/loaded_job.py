"""What of a job stays in memory from part to part? Its model, SAEs and token rows, one job's in each worker."""

import threading
from dataclasses import replace

from django.conf import settings

from ..engine.results import QUICK_LOSS_ROWS
from ..models import SAE, Job
from ..storage import verdicts
from ..storage.readers import autoencoder_of, rows_of, subject_of
from . import artifacts

KEEP = 30.0  # seconds a worker keeps the model for the next part of its job


class LoadedJob:
    """A job's model, SAEs and token rows, and the plan of its shards. Torch comes into the process here."""

    def __init__(self, job: Job):
        from ..engine.collect import shards, shown_entries

        b, corpus = job.encoder_b, job.corpus or job.sae.corpus
        self._shards, self._shown_entries = shards, shown_entries
        self.rows = rows_of(corpus, however_large=True)
        self.subject = subject_of(job.sae, job.device)
        if verdicts.known(job.sae) is None:  # imported before models were checked, or its files are others by now
            SAE.objects.filter(pk=job.sae_id).update(verdict=verdicts.record(job.sae.model_path, self.subject.verdict))
        self.encoder_b = b and autoencoder_of(b).to(self.subject.device)
        self.plan = shards.plan_shards(
            self.rows,
            tokens=job.tokens,
            bos=corpus.bos,
            special=self.subject.vocabulary.special,
            loss_rows=job.loss_rows,
            skipped=corpus.skipped,
        )
        self._options = {"seed": job.seed, "features": job.features, "encoder_b": self.encoder_b}
        self._folder, self._pass, self._collected = artifacts.folder(job), None, None

    def shard_tokens(self) -> list[int]:
        """The counted tokens of each."""
        from ..engine.corpus.token_rows import counted_tokens

        special = self.subject.vocabulary.special
        return [
            int(counted_tokens(self.rows[slice(*span), self.plan.first :], special).sum()) for span in self.plan.spans
        ]

    def quick(self, tokens, folder, progress):
        """Figures on the first rows that hold so many tokens, in a folder of its own, by the code that reads all; but
        losses, which `quick_summary` measures when features are shown, and health, which few tokens say nothing of."""
        few = self._shards.plan_shards(
            self.rows, tokens=tokens, bos=self.plan.bos, special=self.subject.vocabulary.special,
            shard_tokens=self.rows.size, loss_rows=0,
        )  # fmt: skip
        self._shards.collect_shard(self._shard_pass(), self.rows, few, 0, folder, progress=progress)
        self._shards.merge(self.subject, self.rows, few, folder, progress=progress, with_health=False)
        return self._shards.open_collected(self.subject, self.rows, few, folder, progress=progress, **self._options)

    def quick_summary(self, figures):
        """Of `quick` figures, with their losses."""
        from ..engine.weights import summary

        rows = self.rows[summary.loss_rows(figures.summary.rows, QUICK_LOSS_ROWS)]
        losses = summary.losses_by_row(self.subject, self._shard_pass().encoders[0], rows)
        return replace(figures.summary, **summary.loss_figures(losses))

    def shard(self, number, folder, progress):
        self._shards.collect_shard(self._shard_pass(), self.rows, self.plan, number, folder, progress=progress)

    def _shard_pass(self):
        if self._pass is None:
            self._pass = self._shards.ShardPass(self.subject, self.plan.first, self.encoder_b, settings.SAEVIZ_SCREEN)
        return self._pass

    def merge(self, folder, progress):
        self._pass = None  # its copies of the weights are not needed any more
        self._shards.merge(self.subject, self.rows, self.plan, folder, progress=progress)

    def choose(self, features, folder, progress):
        self._shown_entries.write_shown(folder, self._merged(progress).choose(features))

    def effects(self, folders, shard, folder, progress):
        blocks = self._shown_entries.shown_within(folders, self.plan.spans[shard])
        self._shown_entries.write_effects(folder, self._merged(progress).effects_of_blocks(blocks))

    def features(self, features, folders, block, progress):
        """Figures of the SAE, and of its features one after another."""
        collected = self._merged(progress)
        return collected.summary, collected.features(features, self._shown_entries.effects_on(folders, block))

    def _merged(self, progress):
        """What is read off all shards, opened once."""
        self._pass = None
        if self._collected is None:
            self._collected = self._shards.open_collected(
                self.subject, self.rows, self.plan, self._folder, **self._options
            )
        self._collected.report_to(progress)
        return self._collected


class ModelCache:
    """The one model a worker keeps: loading it anew for each part would cost more than small parts do."""

    def __init__(self):
        self.key = self.loaded = self.timer = None
        self.lock = threading.Lock()

    def of(self, job: Job) -> LoadedJob:
        with self.lock:
            self._stop()
            if self.key != (job.pk, job.inputs):
                self.key = self.loaded = None  # the old one goes before the new one comes
                self.loaded = LoadedJob(job)
                self.key = job.pk, job.inputs
            return self.loaded

    def drop(self):
        with self.lock:
            self._stop()
            self.key = self.loaded = None

    def drop_later(self):
        """Unless another part of the same job comes first."""
        with self.lock:
            self._stop()
            if self.loaded:
                self.timer = threading.Timer(KEEP, self.drop)
                self.timer.daemon = True
                self.timer.start()

    def _stop(self):
        if self.timer:
            self.timer.cancel()
            self.timer = None


model_cache = ModelCache()
