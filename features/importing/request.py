"""What does somebody want imported, and what has nobody said yet: language model, hook point, what files leave out?"""

import re
from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING

from .. import messages
from ..engine.model.hook_points import layer_of
from ..engine.sae.layouts import hook_names
from ..engine.sae.reading.errors import Question
from ..engine.sae.reading.files import find_saes
from ..storage.verdicts import hooks_of
from . import language_models

if TYPE_CHECKING:
    from ..engine.sae.description import SAEDescription

SUBJECT = ("model", "hook_point")  # answers that this file asks for itself
ONE_OF = "sae"  # likewise: which SAE of a folder of several


@dataclass(frozen=True)
class ImportRequest:
    """What somebody said of an SAE. Empty: left to the files, then asked for. An Import row keeps it."""

    path: str
    model: str = ""
    hook: str = ""
    corpus: str = ""  # a slug, a file or a folder; empty: the demo's text
    field: str = ""  # of the corpus's rows that holds the text; empty: as `corpora.TextOptions`
    slug: str = ""
    name: str = ""
    tokens: int | None = None
    encoder_b: str = ""  # a slug; empty: as it was
    answers: dict = dataclass_field(default_factory=dict)

    def answered(self, answers: dict) -> "ImportRequest":
        """With answers to questions; those about model and hook point go where they belong."""
        rest = {name: value for name, value in answers.items() if name not in SUBJECT}
        return replace(
            self,
            model=answers.get("model") or self.model,
            hook=answers.get("hook_point") or self.hook,
            answers={**self.answers, **rest},
        )

    def resolved(self) -> "ImportRequest":
        """The same, with what `answers` say of model and hook point in its place, and no longer among them."""
        moved = self.answered({name: self.answers[name] for name in SUBJECT if name in self.answers})
        return replace(moved, answers={name: value for name, value in self.answers.items() if name not in SUBJECT})

    def to_dict(self) -> dict:
        return asdict(self)


class Unanswered(ValueError):
    """Questions that neither files nor user have answered; `.questions` as of engine.sae.reading.errors."""

    def __init__(self, path: Path, questions: list[Question]):
        self.questions = tuple(questions)
        super().__init__(f"{path} does not say all that is needed:\n" + "\n".join(map(_as_option, self.questions)))


def _as_option(question: Question) -> str:
    options = " or ".join(map(str, question.candidates[:8]))
    return f"  --answer {question.name}=...   {question.text}" + (f" Likely: {options}." if options else "")


def chosen_sae(request: ImportRequest) -> tuple[ImportRequest, Path]:
    """The request without the answer that chooses one SAE of a folder of several, a whole run; and that SAE's path.

    Absolute, and no link of it followed: what lies beside a link of the hub's cache does not lie beside its target.
    Raises Unanswered, with all there are, where there is a choice.
    """
    path = Path(request.path).expanduser().absolute()
    answers = {name: value for name, value in request.answers.items() if name != ONE_OF}
    chosen = str(request.answers.get(ONE_OF) or "")
    names = [str(sae.relative_to(path)) for sae in find_saes(path)] if path.is_dir() else []
    if chosen and chosen not in names:
        of = f"it holds {', '.join(names[:12])}" if names else "it is no folder of several SAEs"
        raise messages.BadRequest(f"{path} has no SAE {chosen!r}: {of}.")
    if not chosen and len(names) > 1:
        raise Unanswered(path, [Question(ONE_OF, f"It holds {len(names):,} SAEs. Which of them?", tuple(names))])
    path = path / (chosen or names[0]) if names else path
    return replace(request, path=str(path), answers=answers), path


def model_path_of(
    request: ImportRequest, description: "SAEDescription", questions: list[Question], restricted: bool = False
) -> Path | None:
    """The folder of the language model that is named; None, with a question more, where nobody names one known here.

    `restricted`: only those known, whose files lead nowhere else. Raises UnknownModel where the request names one that
    is not known, Outside.
    """
    if request.model:
        return language_models.find(request.model, restricted)
    name = description.subject["model_name"]
    try:
        return language_models.find(name or "?", restricted)
    except language_models.UnknownModel:
        named = f" The files say {name!r}, which is not on this machine." if name else ""
        text = f"Folder or name of the language model whose activations were learnt?{named}"
        candidates = tuple(map(str, language_models.fitting(description.d_in)))
        questions.append(Question("model", text, candidates))


def hook_point_of(
    request: ImportRequest,
    description: "SAEDescription",
    model_path: Path | None,
    questions: list[Question],
    notes: list[str],
) -> str | None:
    """Where the model is read; None or empty, with a question more, where nobody says it. A module's name is that of
    the hook point of its output, which `notes` hears.

    Raises BadRequest where what the SAE reads has another width than the model there.
    """
    hook_point, width = _named_here(request.hook, notes) or description.subject["hook_point"], description.d_in
    head = description.subject["hook_head_index"]
    if head is not None:
        raise messages.BadRequest(
            f"{request.path} reads attention head {head} alone ({width:,} values). Only SAEs that read all heads of "
            "a layer at attn.hook_z, or another whole hook point, can be shown."
        )
    widths = hooks_of(model_path) if model_path else {}
    fitting = [hook for hook, wide in widths.items() if wide == width]
    if widths and not fitting:
        has = ", ".join(f"{size:,}" for size in sorted(set(widths.values())))
        raise messages.BadRequest(
            f"{request.path} reads {width:,} values; {model_path.name} has hook points of {has}. Name its own model."
        )
    if not hook_point:
        offered = next((q.candidates for q in description.questions if q.name == "hook_point"), ())
        text = "Where in the model are the activations read?"
        questions.append(Question("hook_point", text, tuple(fitting or offered)))
    elif widths and widths.get(hook_point) != width:
        has = f"has {widths[hook_point]:,}" if hook_point in widths else "is not in this model"
        near = sorted(fitting, key=lambda hook: _far(hook, hook_point))[:12]
        raise messages.BadRequest(
            f"The SAE reads {width:,} values, {hook_point} {has}; of that width are {', '.join(near)}. "
            "Name the right one: --hook."
        )
    return hook_point


def _named_here(hook: str, notes: list[str]) -> str:
    """The hook point that somebody names, also as the module whose output is read there."""
    named = hook_names.of_module(hook) if hook else None
    if named and named != hook:
        notes.append(f"The module {hook}, which was named, is {named} here.")
    return named or hook


def _far(hook: str, named: str) -> int:
    """How many layers a hook point lies from the first number in a name."""
    layer = re.search(r"\d+", named)
    return abs(layer_of(hook) - int(layer[0])) if layer else 0
