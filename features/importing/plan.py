"""What has to be known before an SAE on disk becomes a page, who says it, and in which order is it done?

`plan` looks at headers and configs alone and asks for what nobody has said; `check` loads and looks, and what it
gives back writes all rows in one step. Nothing is half imported.
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify

from .. import messages
from ..engine.model.config import context_length
from ..engine.model.hook_points import hook_widths, hooks_of_width
from ..engine.model.vocabulary import Vocabulary
from ..jobs import requests
from ..jobs.lifecycle import Unfinished
from ..models import SAE, Corpus
from ..storage import recognition
from . import corpora, demo, language_models
from .register import facts_from, register_sae, tokenizer_hash

GENERIC = {"sae_weights", "sae", "ae", "params", "final", "weights", "model", "checkpoints", "autoencoders"}
SUBJECT = ("model", "hook_point")  # answers that this file asks for itself


@dataclass(frozen=True)
class Asked:
    """What somebody said. Empty: left to the files, then asked for."""

    path: str
    model: str = ""
    hook: str = ""
    corpus: str = ""  # a slug, a file or a folder; empty: the demo's text
    slug: str = ""
    name: str = ""
    tokens: int | None = None
    encoder_b: str = ""  # a slug; empty: as it was
    answers: dict = field(default_factory=dict)

    def answered(self, answers: dict) -> "Asked":
        """With answers to questions; those about model and hook point go where they belong."""
        rest = {name: value for name, value in answers.items() if name not in SUBJECT}
        return replace(
            self,
            model=answers.get("model") or self.model,
            hook=answers.get("hook_point") or self.hook,
            answers={**self.answers, **rest},
        )

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
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
    built: corpora.Built | None = None
    encoder_b: SAE | None = None


class Unanswered(ValueError):
    """Questions that neither files nor user have answered; `.questions` as of engine.sae.checkpoint."""

    def __init__(self, path, questions):
        self.questions = tuple(questions)
        super().__init__(f"{path} does not say all that is needed:\n" + "\n".join(map(_as_option, self.questions)))


def _as_option(question) -> str:
    options = " or ".join(map(str, question.candidates[:8]))
    return f"  --answer {question.name}=...   {question.text}" + (f" Likely: {options}." if options else "")


@dataclass(frozen=True)
class Checked:
    """An SAE that was loaded and looked at, and only lacks its rows."""

    plan: Plan
    built: corpora.Built | None
    facts: dict

    def register(self, corpus: Corpus | None = None) -> SAE:
        """Write its rows, all or none; `corpus` where that of the plan has been registered already."""
        plan = self.plan
        with transaction.atomic():
            corpus = corpus or plan.corpus or self.built.register()
            return register_sae(
                plan.slug, plan.path, plan.model_path, corpus, name=plan.name, answers=plan.answers, facts=self.facts
            )


def plan(asked: Asked, built: corpora.Built | None = None) -> Plan:
    """Everything checked that can be without loading weights; on rows that are `built` already, where there are any.

    Raises Unanswered, or a ValueError that says what is wrong: CheckpointError, UnknownModel, TokenizerMissing,
    CorpusError, BadRequest.
    """
    from ..engine.sae.checkpoint import describe

    asked = asked.answered({name: asked.answers[name] for name in SUBJECT if name in asked.answers})
    answers = {name: value for name, value in asked.answers.items() if name not in SUBJECT}
    path = Path(asked.path).expanduser().resolve()
    description = describe(path, answers=answers, max_bytes=settings.SAEVIZ_MAX_BYTES)
    questions = [question for question in description.questions if question.required]
    model_path = _model(asked, description, questions)
    hook_point = _hook_point(asked, description, model_path, questions)
    if questions:
        open_too = (q for q in description.questions if not q.required and q.name not in ("model_name", "hook_point"))
        raise Unanswered(path, [*questions, *open_too])
    vocabulary = Vocabulary.load(model_path)
    slug = _slug(asked, path)
    bos = vocabulary.bos_id is not None and description.subject["prepend_bos"] is not False
    corpus, text = (None, built.path) if built else _corpus(asked, model_path, bos)
    return Plan(
        path=path,
        model_path=model_path,
        hook_point=hook_point,
        corpus=corpus,
        text=text,
        slug=slug,
        name=asked.name or slug,
        bos=bos,
        answers=answers,
        tokens=asked.tokens,
        built=built,
        encoder_b=_encoder_b(asked, SAE(name=slug, model_path=str(model_path), hook_point=hook_point)),
    )


def _model(asked: Asked, description, questions: list) -> Path | None:
    from ..engine.sae.checkpoint import Question

    if asked.model:
        return language_models.find(asked.model)
    said = description.subject["model_name"]
    try:
        return language_models.find(said or "?")
    except language_models.UnknownModel:
        named = f" The files say {said!r}, which is not on this machine." if said else ""
        text = f"Folder or name of the language model whose activations were learnt?{named}"
        candidates = tuple(map(str, language_models.fitting(description.d_in)))
        questions.append(Question("model", text, candidates))


def _hook_point(asked: Asked, description, model_path, questions: list) -> str:
    from ..engine.sae.checkpoint import Question

    hook_point, width = asked.hook or description.subject["hook_point"], description.d_in
    head = description.subject["hook_head_index"]
    if head is not None:
        raise messages.BadRequest(
            f"{asked.path} reads attention head {head} alone ({width:,} values). Only SAEs that read all heads of "
            "a layer at attn.hook_z, or another whole hook point, can be shown."
        )
    widths = hook_widths(model_path) if model_path else {}
    fitting = hooks_of_width(model_path, width) if model_path else []
    if widths and not fitting:
        has = ", ".join(f"{size:,}" for size in sorted(set(widths.values())))
        raise messages.BadRequest(
            f"{asked.path} reads {width:,} values; {model_path.name} has hook points of {has}. Name its own model."
        )
    if not hook_point:
        offered = next((q.candidates for q in description.questions if q.name == "hook_point"), ())
        text = "Where in the model are the activations read?"
        questions.append(Question("hook_point", text, tuple(fitting or offered)))
    elif widths and widths.get(hook_point) != width:
        has = f"has {widths[hook_point]:,}" if hook_point in widths else "is not in this model"
        raise messages.BadRequest(
            f"The SAE reads {width:,} values, {hook_point} {has}; of that width are {', '.join(fitting[:12])}."
        )
    return hook_point


def _encoder_b(asked: Asked, sae: SAE) -> SAE | None:
    """The SAE that is named, which has to read the same place of the same model as this one."""
    if not asked.encoder_b:
        return None
    b = SAE.objects.filter(slug=asked.encoder_b).first()
    if b is None:
        known = ", ".join(SAE.objects.values_list("slug", flat=True)) or "none yet"
        raise messages.BadRequest(f"There is no SAE {asked.encoder_b!r} to be encoder B; there are: {known}.")
    if why := sae.not_comparable(b):
        raise messages.BadRequest(why)
    return b


def _slug(asked: Asked, path: Path) -> str:
    """A short name that belongs to this path alone. Raises BadRequest where the one asked for is another's."""
    slug = slugify(asked.slug) or _slug_of(path)
    other = SAE.objects.filter(slug=slug).exclude(path=str(path)).first()
    if other and asked.slug:
        raise messages.BadRequest(f"The short name {slug!r} is taken by {other.path}. Choose another: --slug.")
    return f"{slug}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}" if other else slug


def _slug_of(path: Path) -> str:
    """From the last two telling parts of the path: run1/25.pt is run1-25."""
    parts = [*path.parts[1:-1], path.name if path.is_dir() else path.stem]
    telling = [part for part in parts if part not in GENERIC][-2:]
    return slugify("-".join(telling))[:50].strip("-") or "sae"


def _corpus(asked: Asked, model_path: Path, bos: bool) -> tuple[Corpus | None, Path]:
    """The corpus that is named, or is here for this tokenizer already; else the text to make one of."""
    corpus = Corpus.objects.filter(slug=asked.corpus or demo.CORPUS_SLUG).first()
    if corpus and _fits(corpus, model_path) and (asked.corpus or corpus.bos == bos):
        return corpus, Path(corpus.path)
    if corpus and asked.corpus:
        raise messages.BadRequest(
            f"The corpus {corpus.slug!r} was made with another tokenizer or longer rows than {model_path.name} reads. "
            f"Make one of the same text: manage.py add_corpus PATH --model {model_path}"
        )
    text = Path(asked.corpus).expanduser() if asked.corpus else demo.TEXTS
    if not text.exists():
        known = ", ".join(Corpus.objects.values_list("slug", flat=True)) or "none yet"
        raise messages.BadRequest(
            f"The corpus {asked.corpus} is no file, no folder, and none of: {known}. "
            f"A dataset of the hub comes in with: manage.py add_corpus OWNER/NAME --model {model_path}"
        )
    return None, text


def _fits(corpus: Corpus, model_path: Path) -> bool:
    longest = context_length(model_path) or corpus.row_length
    return corpus.tokenizer == tokenizer_hash(model_path) and corpus.row_length <= longest


def carry_out(plan: Plan, say=lambda step: None) -> SAE:
    """Load, check, and write the rows. Raises what the engine raises."""
    return check(plan, say).register()


def check(plan: Plan, say=lambda step: None) -> Checked:
    """Load and look; nothing is registered. `say(sentence)` hears of each step; what it raises ends it."""
    from ..engine import self_check
    from ..engine.corpus.token_rows import open_rows
    from ..engine.subject import Subject

    say(f"Loading {plan.model_path.name} and {plan.path.name}")
    device = settings.SAEVIZ_DEVICE
    subject = Subject.load(plan.model_path, plan.path, plan.hook_point, device=device, answers=plan.answers or None)
    built = plan.built
    if plan.corpus is None and built is None:
        say(f"Tokenising {plan.text.name}")
        own = plan.text == demo.TEXTS
        licence = (plan.text / "NOTICE.md").read_text() if own else ""
        built = corpora.build(
            plan.text, plan.model_path, name="Demo corpus" if own else "", licence=licence, bos=plan.bos
        )
    rows = open_rows(plan.corpus.path if built is None else built.path)
    checked = self_check.check(subject, rows, progress=say)
    facts = facts_from(subject, plan.model_path) | {"self_check": checked.to_dict()}
    fingerprint = recognition.fingerprint(plan.path)
    recognition.recognise_named(plan.slug, plan.path, fingerprint)
    facts |= fingerprint
    facts |= {"encoder_b": plan.encoder_b} if plan.encoder_b else {}
    return Checked(plan, built, facts)


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
