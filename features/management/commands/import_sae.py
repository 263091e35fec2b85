"""`manage.py import_sae PATH`: an SAE on disk, or on the hub, becomes pages. What its files do not say is asked for."""

import os
import sys

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from features.importing import hub_saes
from features.importing.plan import ImportPlan, carry_out, has_figures, plan_import, request_figures
from features.importing.request import ImportRequest, Unanswered
from features.jobs import estimate
from features.management.downloads import TellsDownloads
from features.messages import is_disk_full, sentence

FACTS = {"model_name": "model", "hook_point": "hook point"}  # that files may name otherwise
MUCH_VARIANCE = 0.1  # share from which on it is told where the variance lies


class Command(TellsDownloads, BaseCommand):
    help = "Import an SAE: recognise its files, check it on a few tokens, compute its features."

    def add_arguments(self, parser):
        help = "The weight file, the folder it lies in, or owner/name/folder of the hub."
        parser.add_argument("path", metavar="PATH", help=help)
        parser.add_argument("--model", default="", help="Folder or name of the language model.")
        parser.add_argument("--hook", default="", help="Where the model is read: blocks.0.mlp.hook_post ...")
        parser.add_argument("--corpus", default="", help="Text, token ids, or the short name of a corpus.")
        parser.add_argument("--field", default="", help="The field or column of the corpus's text: content, meta.text.")
        parser.add_argument("--encoder-b", default="", metavar="SLUG", help="An SAE at the same place to compare with.")
        parser.add_argument("--slug", default="", help="Short name, as in its address.")
        parser.add_argument("--name", default="", help="Name, as in its heading.")
        parser.add_argument("--tokens", type=int, help="Tokens to count. Default: SAEVIZ_TOKENS.")
        parser.add_argument(
            "--answer", action="append", default=[], metavar="NAME=VALUE", help="What the files do not say: k=32."
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--compute", dest="how", action="store_const", const="compute", help="Here and now (default).")
        how.add_argument("--queue", dest="how", action="store_const", const="queue", help="By a worker.")
        how.add_argument("--no-compute", dest="how", action="store_const", const="none", help="Not yet.")

    def handle(self, path, answer, how, **options):
        names = ("model", "hook", "corpus", "field", "encoder_b", "slug", "name", "tokens")
        given = {name: options[name] for name in names}
        try:
            if hub_saes.is_on_hub(path):
                path = str(hub_saes.fetch_sae(path, self.received))
            sae = carry_out(_plan(ImportRequest(path, **given, answers=_answers(answer))), self._say)
        except (ValueError, OSError) as error:
            raise CommandError(f"Nothing was imported. {sentence(error)}") from error
        except DatabaseError as error:
            if is_disk_full(error):
                raise CommandError(f"Nothing was imported. {sentence(error)}") from error
            way_out = "Run `manage.py migrate` first, or `make run`, which does."
            raise CommandError(f"Nothing was imported. The database is not ready ({error}). {way_out}") from error
        self._tell(sae)
        self._compute(sae, how or "compute", options["tokens"])

    def _say(self, step):
        self.stdout.write(f"{step} ...")

    def _tell(self, sae):
        check = sae.self_check
        figures = [f"L0 {check['l0']:.1f}"]
        if check["explained_variance"] is not None:
            figures.insert(0, f"explained variance {check['explained_variance']:.2f}")
        if check["loss_recovered"] is not None:
            figures.append(f"loss recovered {check['loss_recovered']:.0%}")
        verdict = "read as it was meant, and poor: " if check.get("poor") else "check this: "
        verdict = "as it should be" if check["passed"] else verdict + " ".join(check["findings"])
        self.stdout.write(f"Self-check on {check['tokens']:,} tokens: {', '.join(figures)}; {verdict}")
        if shares := check.get("variance"):
            first, outliers, rest = (shares[name] for name in ("first", "outliers", "explained_without"))
            if None not in (first, outliers, rest) and max(first, outliers) >= MUCH_VARIANCE:
                self.stdout.write(
                    f"Of the variance {first:.0%} lies at the first counted position of rows, {outliers:.0%} in the "
                    f"longest 0.1 % of activations; explained variance without them {rest:.2f}."
                )
        self.stdout.write(f"{sae.slug}: {sae.d_sae:,} features ({sae.format}) of {sae.model_name} at {sae.hook_point}.")
        for name, said in sae.provenance.get("differs", {}).items():
            self.stdout.write(f"Its files name another {FACTS[name]}: {said}.")
        for note in sae.provenance.get("notes", ()):
            self.stdout.write(note)
        if sae.why_no_effects:
            self.stdout.write(sae.why_no_effects)
        if sae.note:
            self.stdout.write(sae.note)

    def _compute(self, sae, how, tokens):
        page = f"Its page: {os.environ.get('ADDRESS', '')}{sae.get_absolute_url()}"  # the site's, from `make run`
        if how == "none":
            self.stdout.write(page)
        elif how == "queue":
            job = request_figures(sae, tokens, how="import")
            if job:
                self.stdout.write(estimate.told(sae, job.tokens))
            state = "are there already" if job is None else f"are job {job.pk}. {getattr(job, 'note', '')}".strip()
            self.stdout.write(f"{page}; its statistics {state}.")
        elif not has_figures(sae, tokens):
            chosen = min(tokens or settings.SAEVIZ_TOKENS, sae.corpus.tokens)
            call_command("compute_features", sae.slug, tokens=chosen, stdout=self.stdout)
            self.stdout.write(page)
        else:
            self.stdout.write(f"{page}; its statistics are there already.")


def _plan(request: ImportRequest) -> ImportPlan:
    """Asks at a terminal, as long as there is something to ask; elsewhere the questions are the error."""
    while True:
        try:
            return plan_import(request)
        except Unanswered as unanswered:
            if not sys.stdin.isatty():
                raise
            request = request.answered({question.name: _ask(question) for question in unanswered.questions})


def _ask(question) -> str:
    """One question at a terminal; a number chooses a candidate, nothing takes the first."""
    print(question.text)
    for number, candidate in enumerate(question.candidates[:20], 1):
        print(f"  {number}  {candidate}")
    answer = input(f"{question.name}{' [1]' if question.candidates else ''}: ").strip()
    if not answer and question.candidates:
        answer = "1"
    is_number = answer.isdecimal() and answer not in map(str, question.candidates)
    if is_number and 0 < int(answer) <= len(question.candidates):
        return question.candidates[int(answer) - 1]
    return answer


def _answers(given: list[str]) -> dict:
    wrong = [answer for answer in given if "=" not in answer]
    if wrong:
        raise CommandError(f"--answer {wrong[0]} names no value. Write --answer NAME=VALUE, as in --answer k=32.")
    return dict(answer.split("=", 1) for answer in given)
