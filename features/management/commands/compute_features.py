"""`manage.py compute_features SAE`: compute its statistics here and now, or queue them for a worker."""

import time
from argparse import ArgumentTypeError

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from features import messages
from features.analysis.steps import run_analysis
from features.jobs import estimate, leases, requests, worker
from features.jobs.lifecycle import Unfinished, pick_up_silent
from features.models import SAE, Corpus, Job

LOOK_EVERY = 1.0  # seconds between two looks at what workers do of this job
UNITS = {"quick results": "tokens", "activations": "tokens", "merging": "tokens", "features": "features"}


class Command(BaseCommand):
    help = "Compute the statistics of an SAE's features on its corpus and show them on its pages."

    def add_arguments(self, parser):
        parser.add_argument("sae", metavar="SAE", help="Its short name, as in its address.")
        parser.add_argument("--tokens", type=_number, help="Tokens to count. Default: SAEVIZ_TOKENS.")
        parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda, cuda:1 ... Default: auto.")
        parser.add_argument("--seed", type=int, help="Of the random examples. Default: 0.")
        parser.add_argument(
            "--loss-rows", type=_number, help="To measure losses on, for smaller intervals. Default: 256."
        )
        parser.add_argument("--features", type=_numbers, help="Only these: 1,2,3. They need statistics of all.")
        parser.add_argument("--corpus", help="Short name of another corpus than the SAE's own.")
        parser.add_argument("--queue", action="store_true", help="Leave the work to a worker.")

    def handle(self, sae, queue, corpus=None, **options):
        asked = {"corpus": _corpus(corpus)} if corpus else {}
        asked |= {name: options[name] for name in ("tokens", "device", "seed", "features", "loss_rows")}
        if not queue:
            pick_up_silent(Job)  # one like it may have been killed
        try:
            job = requests.request_statistics(_sae(sae), how="command", send=queue, **asked)
        except (messages.BadRequest, Unfinished) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stderr.write(estimate.told(job.sae, job.tokens, job.features), self.style.NOTICE)
        if queue:
            self.stdout.write(f"Job {job.pk} is queued. {job.note}".strip())
        else:
            self._compute(job)

    def _compute(self, job):
        try:
            with Bar() as bar:
                _run(job, bar)
        except KeyboardInterrupt:
            raise CommandError(
                f"Job {job.pk} was stopped; nothing was changed. The same command goes on from what was done."
            ) from None
        if job.state != Job.State.DONE:
            raise CommandError(job.error or f"Job {job.pk} was {job.state}; nothing was changed.")
        _analyse(job.sae)
        what = "All" if job.features is None else f"{len(job.features):,}"
        self.stdout.write(f"{what} features of {job.sae} computed on {job.tokens:,} tokens.")


def _run(job, bar):
    """All parts of the job; those that a worker has taken are waited for."""
    worker.run_job(job.pk, watcher=bar)
    job.refresh_from_db()
    while job.state in Job.UNFINISHED:
        time.sleep(LOOK_EVERY)
        pick_up_silent(Job)
        worker.run_job(job.pk, watcher=bar)
        job.refresh_from_db()


def _analyse(sae):
    """What follows from the statistics just shown, unless a worker has taken it."""
    for waiting in sae.analyses.waiting():
        if lease := leases.claim(waiting):
            worker.do(lease, run_analysis)


class Bar:
    """A tqdm bar for each phase of the computation."""

    def __init__(self):
        self.phase, self.bar = None, None

    def __call__(self, progress):
        if progress.phase != self.phase:
            self._close()
            unit = UNITS.get(progress.phase, "")
            self.bar = tqdm(total=progress.total, desc=progress.phase, unit=f" {unit}", unit_scale=True)
            self.phase = progress.phase
        self.bar.update(progress.done - self.bar.n)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def _close(self):
        if self.bar:
            self.bar.close()


def _sae(slug):
    try:
        return SAE.objects.for_pages().get(slug=slug)
    except SAE.DoesNotExist:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)) or "none yet; `manage.py load_demo` makes one"
        raise CommandError(f"No SAE is called {slug!r}. Known: {known}.") from None


def _corpus(slug):
    try:
        return Corpus.objects.get(slug=slug)
    except Corpus.DoesNotExist:
        known = ", ".join(Corpus.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"No corpus is called {slug!r}. Known: {known}.") from None


def _number(text):
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no whole number.") from None


def _numbers(text):
    return [_number(part) for part in text.split(",")]
