"""In which order does an SAE on disk become a page? A request is planned, its files are checked, its rows are written.

`plan_import` looks at headers and configs alone and asks for what nobody has said; `check_import` loads and looks, and
what it gives back writes all rows in one step. Nothing is half imported.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from .. import messages
from ..engine.corpus.training_text import TrainingText
from ..engine.model.config import context_length
from ..engine.sae.reading.files import weight_files
from ..jobs import requests
from ..jobs.lifecycle import Unfinished
from ..models import SAE, Corpus
from ..storage import recognition, verdicts
from ..storage.opened import description_of
from ..storage.readers import vocabulary_in
from . import corpora, demo, provenance
from .folders import links_led, sae_inside
from .register import facts_from, register_sae, tokenizer_hash
from .request import ImportRequest, Unanswered, chosen_sae, hook_point_of, model_path_of

Tick = Callable[[], None]
GENERIC = {"sae_weights", "sae", "ae", "params", "final", "weights", "model", "checkpoints", "autoencoders"}


@dataclass(frozen=True)
class ImportPlan:
    """An import with nothing left to ask."""

    path: Path
    model_path: Path
    hook_point: str
    corpus: Corpus | None  # one that is here; else rows that are built, or else the text to build them of:
    text: Path
    slug: str
    name: str
    bos: bool
    answers: dict
    tokens: int | None = None
    field: str = ""  # of the text's rows that holds it
    built: corpora.BuiltCorpus | None = None
    encoder_b: SAE | None = None
    in_files: dict = dataclass_field(default_factory=dict)  # what the files say of model, place and training
    notes: tuple[str, ...] = ()  # of the plan; the engine adds its own
    training: TrainingText = TrainingText()  # what the files say of its text
    shape: tuple[int, int] = (0, 0)  # d_in, d_sae
    k: int | None = None  # active features of a token, where the files say it


@dataclass(frozen=True)
class CheckedImport:
    """An SAE that was loaded and looked at, and only lacks its rows."""

    plan: ImportPlan
    built: corpora.BuiltCorpus | None
    facts: dict
    answers: dict  # those of the plan, and what text has told since

    def register(self, corpus: Corpus | None = None) -> SAE:
        """Write its rows, all or none; `corpus` where that of the plan has been registered already."""
        plan = self.plan
        with transaction.atomic():
            corpus = corpus or plan.corpus or self.built.register()
            return register_sae(
                plan.slug, plan.path, plan.model_path, corpus, name=plan.name, answers=self.answers, facts=self.facts
            )


def plan_import(
    request: ImportRequest,
    built: corpora.BuiltCorpus | None = None,
    tick: Tick | None = None,
    restricted: bool = False,
) -> ImportPlan:
    """Everything checked that can be without loading weights; on rows that are `built` already, where there are any.
    What `tick` raises, which is called while files are looked into, ends it. `restricted`: asked for in a browser, so
    that no file may lie, or lead, outside the configured folders; else where links lead is said.

    Raises Unanswered, or a ValueError that says what is wrong: CheckpointError, UnknownModel, TokenizerMissing,
    CorpusError, BadRequest, Outside.
    """
    request, path = chosen_sae(request.resolved())
    if restricted:
        sae_inside(path)
    description = description_of(path, request.answers, tick)
    model_path, hook_point, notes = _place(request, path, description, restricted)
    if not restricted:
        files = *weight_files(description.weights), *description.configs
        notes += links_led([path, *files, model_path, *sorted(model_path.iterdir())])
    vocabulary = vocabulary_in(model_path)
    slug = _slug(request, path)
    bos = vocabulary.bos_id is not None and description.subject["prepend_bos"] is not False
    training = TrainingText.of(description.subject, description.in_files)
    corpus, text = (None, built.path) if built else _corpus(request, model_path, bos, training)
    if corpus and request.tokens:
        requests.checked_tokens(corpus, request.tokens)
    return ImportPlan(
        path=path,
        model_path=model_path,
        hook_point=hook_point,
        corpus=corpus,
        text=text,
        slug=slug,
        name=request.name or provenance.name_of_sae(description, model_path, hook_point),
        bos=bos,
        answers=request.answers,
        tokens=request.tokens,
        field=request.field,
        built=built,
        in_files=description.in_files,
        training=training,
        shape=(description.d_in, description.d_sae),
        k=description.k,
        notes=tuple(notes),
        encoder_b=_encoder_b(request, SAE(name=slug, model_path=str(model_path), hook_point=hook_point)),
    )


def _place(request: ImportRequest, path: Path, description, restricted: bool) -> tuple[Path, str, list[str]]:
    """The model's folder, the hook point and what was assumed of them. Raises Unanswered while nobody has said them."""
    questions = [question for question in description.questions if question.required]
    notes = []
    model_path = model_path_of(request, description, questions, restricted)
    hook_point = hook_point_of(request, description, model_path, questions, notes)
    if questions:
        open_too = (q for q in description.questions if not q.required and q.name not in ("model_name", "hook_point"))
        raise Unanswered(path, [*questions, *open_too])
    return model_path, hook_point, notes


def _encoder_b(request: ImportRequest, sae: SAE) -> SAE | None:
    """The SAE that is named, which has to read the same place of the same model as this one."""
    if not request.encoder_b:
        return None
    b = SAE.objects.filter(slug=request.encoder_b).first()
    if b is None:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)) or "none yet"
        raise messages.BadRequest(f"There is no SAE {request.encoder_b!r} to be encoder B; there are: {known}.")
    if why := sae.not_comparable(b):
        raise messages.BadRequest(why)
    return b


def _slug(request: ImportRequest, path: Path) -> str:
    """A short name that belongs to this path alone. Raises BadRequest where the one asked for is another's."""
    slug = slugify(request.slug) or _slug_of(path)
    other = SAE.objects.filter(slug=slug).exclude(path=str(path)).first()
    other = other if other and Path(other.path).resolve() != path.resolve() else None
    if other and request.slug:
        raise messages.BadRequest(f"The short name {slug!r} is taken by {other.path}. Choose another: --slug.")
    return f"{slug}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}" if other else slug


def _slug_of(path: Path) -> str:
    """From the last two telling parts of the path: run1/25.pt is run1-25."""
    parts = [*path.parts[1:-1], path.name if path.is_dir() else path.stem]
    telling = [part for part in parts if part not in GENERIC][-2:]
    return slugify("-".join(telling))[:50].strip("-") or "sae"


def _corpus(request: ImportRequest, model_path: Path, bos: bool, training: TrainingText) -> tuple[Corpus | None, Path]:
    """The corpus that is named, or is here for this tokenizer already; else the text to make one of."""
    corpus = Corpus.objects.filter(slug=request.corpus or demo.CORPUS_SLUG).first()
    usual = corpus and corpus.bos == bos and corpus.row_length <= (training.longest or corpus.row_length)
    usual = usual and corpus.first >= training.first
    if request.field and (corpus or not request.corpus):
        of = f"the corpus {corpus.slug!r}" if corpus else "the demo"
        raise messages.BadRequest(
            f"A field of the text, {request.field!r}, was named, and the text of {of} is read already. Name a file or "
            "a folder beside it."
        )
    if corpus and _fits(corpus, model_path) and (request.corpus or usual):
        return corpus, Path(corpus.path)
    if corpus and request.corpus:
        raise messages.BadRequest(
            f"The corpus {corpus.slug!r} was made with another tokenizer or longer rows than {model_path.name} reads. "
            f"Make one of the same text: manage.py add_corpus PATH --model {model_path}"
        )
    text = Path(request.corpus).expanduser() if request.corpus else demo.TEXTS
    if not text.exists():
        known = ", ".join(Corpus.objects.values_list("slug", flat=True)) or "none yet"
        raise messages.BadRequest(
            f"The corpus {request.corpus} is no file, no folder, and none of: {known}. "
            f"A dataset of the hub comes in with: manage.py add_corpus OWNER/NAME --model {model_path}"
        )
    return None, text


def _fits(corpus: Corpus, model_path: Path) -> bool:
    longest = context_length(model_path) or corpus.row_length
    return corpus.tokenizer == tokenizer_hash(model_path) and corpus.row_length <= longest


def carry_out(plan: ImportPlan, say: Callable[[str], None] = lambda step: None) -> SAE:
    """Load, check, and write the rows. Raises what the engine raises."""
    return check_import(plan, say).register()


def check_import(
    plan: ImportPlan,
    say: Callable[[str], None] = lambda step: None,
    tick: Tick | None = None,
    self_check_follows: bool = False,
) -> CheckedImport:
    """Load and look; nothing is registered. `say(sentence)` hears of each step; what it raises ends it, and what `tick`
    does, which is called while text is read. `self_check_follows`: whoever asks makes it later."""
    from ..engine import self_check
    from ..engine.calibration import calibrate
    from ..engine.corpus.token_rows import open_rows
    from ..engine.sae.checkpoint import read_sae

    say(f"Loading {plan.model_path.name} and {plan.path.name}")
    subject = _loaded(plan, tick)
    built = plan.built
    if plan.corpus is None and built is None:
        say(f"Tokenising {plan.text.name}")
        built = _rows_of_text(plan, tick)
        for note in built.notes:
            say(note)
    rows = open_rows(plan.corpus.path if built is None else built.path)
    if built is not None:
        built.measured()  # what it is registered with, in one step
    read = plan.corpus or built
    first = read.bos + read.skipped  # the first position of a row that counts
    calibrated = calibrate(subject, rows, plan.answers, lambda answers: read_sae(plan.path, answers=answers), first)
    subject = calibrated.subject
    facts = facts_from(subject, plan.model_path)
    if not self_check_follows:
        facts |= {"self_check": self_check.check_sae(subject, rows, progress=say, first=first).to_dict()}
    differences = _unlike_training(plan, rows.shape[1], first, read.bos, subject)
    notes = (*plan.notes, *calibrated.notes, *differences)
    facts |= {"provenance": provenance.of_import(subject, plan.model_path, plan.in_files, notes, calibrated.chosen)}
    facts |= _recognised(plan)
    facts |= {"encoder_b": plan.encoder_b} if plan.encoder_b else {}
    return CheckedImport(plan, built, facts, calibrated.answers)


def _loaded(plan: ImportPlan, tick: Tick | None):
    """Model and SAE together, with what is known of the model's files."""
    from ..engine.subject import Subject

    vocabulary = vocabulary_in(plan.model_path)
    found = verdicts.find(plan.model_path) or verdicts.look(plan.model_path, vocabulary, tick)
    named = plan.model_path, plan.path, plan.hook_point, settings.SAEVIZ_DEVICE, plan.answers or None
    return Subject.load(*named, verdict=found, vocabulary=vocabulary)


def _rows_of_text(plan: ImportPlan, tick: Tick | None) -> corpora.BuiltCorpus:
    is_demo = plan.text == demo.TEXTS
    return corpora.build(
        plan.text,
        plan.model_path,
        name="Demo corpus" if is_demo else "",
        licence=(plan.text / "NOTICE.md").read_text() if is_demo else "",
        bos=plan.bos,
        length=_row_length(plan),
        options=corpora.TextOptions(plan.field, skipped=plan.training.skipped(plan.bos)),
        tick=tick,
    )


def _unlike_training(plan: ImportPlan, length: int, first: int, bos: bool, subject) -> list[str]:
    """In which ways its rows are other ones than its training had, and where they were cut alike."""
    differences = plan.training.differences(length, first, bos, subject.vocabulary)
    if plan.corpus is None and length == plan.training.longest:
        differences.append(f"Rows have {length:,} tokens, as the sequences of its training.")
    return differences


def _recognised(plan: ImportPlan) -> dict:
    """The fingerprint of its files; rows of the same weights that an earlier version wrote are known again by it."""
    fingerprint = recognition.fingerprint(plan.path)
    recognition.recognise_named(plan.slug, plan.path, fingerprint)
    return fingerprint


def _row_length(plan: ImportPlan) -> int | None:
    """Rows as the training had them, where they are short and the model reads as much; None: the usual ones."""
    length, longest = plan.training.row_length, context_length(plan.model_path)
    return min(length, longest or length) if length else None


def has_figures(sae: SAE, tokens: int | None = None) -> bool:
    """Whether its pages show statistics of its corpus, made with as many tokens where a number is asked for."""
    shown, b = sae.statistics, sae.encoder_b
    if shown is None or shown.corpus_id != sae.corpus_id or not shown.correlated_with(b):
        return False
    newest = sae.jobs.filter(state="done", features__isnull=True).first()
    return tokens is None or (newest is not None and newest.tokens == tokens)


def request_figures(sae: SAE, tokens: int | None, *, user=None, how="import"):
    """The job that computes its features; None where they are there, the one at work if there is any."""
    if has_figures(sae, tokens):
        return None
    try:
        return requests.request_statistics(sae, tokens=tokens, user=user, how=how)
    except Unfinished as at_work:
        return at_work.job
