"""`manage.py autointerp SAE`: have features labelled by a language model here and now, or leave it to a worker."""

from argparse import ArgumentTypeError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.http import QueryDict

from features.autointerp import request as requests
from features.autointerp.job import run_autointerp
from features.autointerp.results import results
from features.browse.feature_list import FeatureList
from features.jobs import leases, lifecycle, worker
from features.models import SAE, AutoInterp


class Command(BaseCommand):
    help = "Label features by a language model at an OpenAI-compatible address, and score the labels by detection."

    def add_arguments(self, parser):
        parser.add_argument("sae", metavar="SAE", help="Its short name, as in its address.")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--features", type=_numbers, help="Only these: 1,2,3.")
        which.add_argument("--list", help="Those of a list of the table, by its query: 'show=dense&sort=-density'.")
        parser.add_argument("--count", type=_number, default=40, help="How many, at most. Default: 40.")
        parser.add_argument("--again", action="store_true", help="Also those that the model has labelled before.")
        parser.add_argument("--address", default=settings.SAEVIZ_LLM, help="Default: SAEVIZ_LLM.")
        parser.add_argument("--model", default=settings.SAEVIZ_LLM_MODEL, help="Default: SAEVIZ_LLM_MODEL.")
        parser.add_argument("--key-variable", help="Environment variable with the key, where it is another one.")
        parser.add_argument("--seed", type=_number, default=0, help="Of examples and control. Default: 0.")
        parser.add_argument("--prices", type=_prices, default=(None, None), help="Of a million tokens: IN,OUT.")
        parser.add_argument("--most-calls", type=_number, help="Default: a quarter more than the estimate.")
        parser.add_argument("--most-tokens", type=_number, help="Default: twice the estimate, and one long answer.")
        parser.add_argument("--most-cost", type=float, help="In the currency of the prices.")
        parser.add_argument("--estimate", action="store_true", help="Say what it will take, and send nothing.")
        parser.add_argument("--queue", action="store_true", help="Leave the work to a worker.")
        parser.add_argument("--go-on", type=_number, metavar="JOB", help="With a job that ended early.")

    def handle(self, sae, **options):
        try:
            work = self._work(_sae(sae), options)
        except (ValueError, OSError) as refusal:
            raise CommandError(str(refusal)) from refusal
        if work is not None and not options["queue"]:
            self._do(work)

    def _work(self, sae: SAE, options) -> AutoInterp | None:
        """The job to be done; None where nothing is to be sent."""
        if options["go_on"]:
            work = sae.autointerps.filter(pk=options["go_on"]).first()
            if work is None:
                raise CommandError(f"{sae.slug} has no job {options['go_on']} of labels.")
            lifecycle.pick_up_silent(AutoInterp)
            work.alone = not options["queue"]  # rings for no worker
            limits = options["most_calls"] or work.most_calls, options["most_tokens"] or work.most_tokens
            return requests.go_on(work, *limits, options["most_cost"] or work.most_cost)
        chosen = _chosen(sae, options)
        work = requests.asked(sae, chosen, options["address"], options["model"], options["seed"], options["prices"])
        if options["key_variable"]:
            work.key_variable = options["key_variable"]
        found = requests.estimate(work)
        requests.with_limits(work, found, options["most_calls"], options["most_tokens"], options["most_cost"])
        self.stderr.write("\n".join([*chosen.left_out, found.sentence]), self.style.NOTICE)
        if options["estimate"]:
            return None
        work.alone = not options["queue"]  # as above
        requests.start(work, how="command")
        if options["queue"]:
            self.stdout.write(f"Job {work.pk} is queued. {work.note}".strip())
        return work

    def _do(self, work: AutoInterp):
        try:
            if lease := leases.claim(work):
                worker.do(lease, run_autointerp)
        except KeyboardInterrupt:
            pass
        work.refresh_from_db()
        if work.state in (AutoInterp.State.QUEUED, AutoInterp.State.RUNNING):
            raise CommandError(f"A worker has taken job {work.pk}: {work.get_state_display().lower()}.")
        told = results(work)
        for row in told["rows"]:
            self.stdout.write(f"#{row['index']:<6} {_scores(row):26} {row['label'] or row['why']}")
        for name, value in told["together"]:
            self.stdout.write(f"{name}: {value}")
        failed = f", {work.failed_calls:,} of them failed" if work.failed_calls else ""
        self.stdout.write(f"{work.calls:,} calls{failed}, {work.tokens:,} tokens.")
        if work.state != AutoInterp.State.DONE:
            raise CommandError(f"{work.error} (--go-on {work.pk})")


def _scores(row) -> str:
    own, control = row["both"]
    return f"{own['score']:.0%}, control {control['score']:.0%}" if own else "no score"


def _chosen(sae: SAE, options) -> requests.Chosen:
    if options["features"]:
        chosen = requests.Chosen([index for one in options["features"] for index in requests.one(sae, one).features])
    elif options["list"] is not None:
        features = FeatureList.from_query(QueryDict(options["list"].lstrip("?")))
        chosen = requests.listed(sae, features, options["count"], None)
    else:
        chosen = requests.by_density(sae, options["count"])
    return chosen if options["again"] else requests.not_labelled_before(sae, chosen, options["model"])


def _sae(slug: str) -> SAE:
    found = SAE.objects.for_pages().filter(slug=slug).first()
    if found is None:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"No SAE is called {slug!r}. Known: {known}.")
    return found


def _number(text: str) -> int:
    if not text.replace(",", "").isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number.")
    return int(text.replace(",", ""))


def _numbers(text: str) -> list[int]:
    return list(dict.fromkeys(_number(part) for part in text.split(",")))


def _prices(text: str) -> tuple[float, float]:
    try:
        prices = tuple(float(part) for part in text.split(","))
        if len(prices) == 2 and min(prices) >= 0:
            return prices
    except ValueError:
        pass
    raise ArgumentTypeError(f"{text!r} is no pair of prices, as 0.15,0.6.")
