"""What is asked of a prompt, and can it be answered? Read, checked and refused before any model work."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from django import forms
from django.conf import settings
from django.http import HttpRequest

from features.engine.model.config import context_length, dimensions
from features.engine.model.vocabulary import Vocabulary
from features.engine.text.chat import ChatError, messages_of
from features.engine.text.tokenizer_file import TokenizerMissing
from features.messages import Refused
from features.models import SAE
from features.runtime import Unavailable
from features.storage.readers import chat_template_of, vocabulary_of

METRICS = ("act_size", "act_quantile", "loss_effect")
READINGS = {  # how a text is read -> what the page calls it
    "text": "as it is",
    "special": "with special tokens, where it spells them",
    "chat": "as a chat",
}
SHOWN, MOST_SHOWN = 10, 100  # features of a ranking, and the most that are shown where more are asked for
MOST_LISTED = 10_000  # where they come without dashboards
MOST_ADDED = 20  # features that are named beside them
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class PromptQuestion:
    """A prompt, its tokens, and what is asked of them. Positions count the tokens, BOS included."""

    text: str
    ids: tuple[int, ...]
    bos: bool
    positions: tuple[int, ...]  # at least one, ascending
    metric: str  # one of METRICS
    max_density: float  # features active on a larger share of tokens are left out
    reading: str = "text"  # one of READINGS
    top: int = SHOWN  # features of the ranking that are shown
    added: tuple[int, ...] = ()  # features shown besides, wherever they stand in it
    dashboards: bool = True  # whether each is shown, and not only listed
    stored: bool = True  # whether dashboards have what is stored, beside what the prompt makes of each

    @property
    def position(self) -> int:
        return self.positions[-1]


class PromptField(forms.Field):
    """Text of a prompt; line ends of forms (CRLF) are read as plain newlines."""

    def to_python(self, value: str | None) -> str:
        return (value or "").replace("\r\n", "\n")

    def validate(self, text: str) -> None:
        if not text:
            raise forms.ValidationError("The prompt is empty. Type some text or choose an example.")
        if "\0" in text:
            raise forms.ValidationError(f"The prompt has a NUL character at {text.index(chr(0)):,}. Take it out.")


class PositionsField(forms.Field):
    """Positions, as in 3 or 3,4,5; each once, ascending. Empty where none is given."""

    def to_python(self, value: str | None) -> tuple[int, ...]:
        try:
            return tuple(sorted({int(part) for part in value.split(",")})) if value and value.strip() else ()
        except ValueError:
            raise forms.ValidationError("is not a number. Give a token's index from 0 on, or several: 3,4,5.") from None


class FeaturesField(forms.Field):
    """Numbers of features, as in 3 or 3,4,5; each once, in the order given. Empty where none is given."""

    def to_python(self, value: str | None) -> tuple[int, ...]:
        parts = [part.strip().removeprefix("#") for part in (value or "").split(",") if part.strip()]
        if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
            raise forms.ValidationError("names no feature. Give its number, or several: 3,4,5.")
        numbers = tuple(dict.fromkeys(map(int, parts)))
        if len(numbers) > MOST_ADDED:
            raise forms.ValidationError(f"names {len(numbers):,} features; {MOST_ADDED} can be added. Leave some out.")
        return numbers


NO_CHOICE = "is unknown. Choose one of: {}."


def _with_or_without() -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        choices=[("1", "with"), ("0", "without")],
        coerce=lambda value: value == "1",
        empty_value=True,
        required=False,
        error_messages={"invalid_choice": NO_CHOICE.format("1, 0")},
    )


class PromptForm(forms.Form):
    """The fields of a question by their names in addresses; errors are sentences, or what follows "name='value' "."""

    NO_SHARE = dict.fromkeys(("invalid", "min_value", "max_value"), "is not a share. Give a number from 0 to 1.")

    text = PromptField()
    bos = _with_or_without()
    rank = forms.TypedChoiceField(
        choices=[(metric, metric) for metric in METRICS],
        empty_value=METRICS[0],
        required=False,
        error_messages={"invalid_choice": NO_CHOICE.format(", ".join(METRICS))},
    )
    read = forms.ChoiceField(
        choices=list(READINGS.items()),
        required=False,
        error_messages={"invalid_choice": NO_CHOICE.format(", ".join(READINGS))},
    )
    max_density = forms.FloatField(min_value=0, max_value=1, required=False, error_messages=NO_SHARE)
    position = PositionsField(required=False)
    NO_NUMBER = f"is no number of features to show. Give one from 1 to {MOST_SHOWN}."
    top = forms.IntegerField(
        min_value=1,
        max_value=MOST_LISTED,
        required=False,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), NO_NUMBER),
    )
    dashboards = _with_or_without()
    stored = _with_or_without()
    add = FeaturesField(required=False)

    def clean_max_density(self) -> float:
        share = self.cleaned_data["max_density"]
        return 1.0 if share is None else share

    def clean(self) -> None:
        if (self.cleaned_data.get("top") or 0) > MOST_SHOWN and self.cleaned_data.get("dashboards", True):
            self.add_error("top", self.NO_NUMBER)

    def refusal(self) -> str:
        """All that is wrong, a sentence or two a field."""
        return " ".join(
            error if name == "text" else f"{name}={_short(self.data[name])} {error}"
            for name, errors in self.errors.items()
            for error in errors
        )


def question_of(request: HttpRequest, sae: SAE) -> PromptQuestion:
    """The checked question. Raises Refused, and Unavailable where the tokenizer cannot be read."""
    form = PromptForm(fields_of(request))
    if not form.is_valid():
        raise Refused(form.refusal())
    given = form.cleaned_data
    reading = given["read"] or "text"
    ids = tuple(ids_of(sae, given["text"], given["bos"], reading))
    positions = given["position"] or (len(ids) - 1,)
    for position in positions:
        if not 0 <= position < len(ids):
            raise Refused(
                f"Position {position:,} is outside the prompt: its {len(ids):,} tokens have positions 0 to "
                f"{len(ids) - 1:,}. Choose one of them."
            )
    for feature in given["add"]:
        refuse_unknown(sae, feature)
    asked = (given["text"], ids, given["bos"], positions, given["rank"], given["max_density"], reading)
    return PromptQuestion(
        *asked, top=given["top"] or SHOWN, added=given["add"], dashboards=given["dashboards"], stored=given["stored"]
    )


def refuse_unknown(sae: SAE, feature: int) -> None:
    """Raises Refused where an SAE has no such feature."""
    if feature >= sae.d_sae:
        raise Refused(f"Feature {feature:,} does not exist: this SAE has features 0 to {sae.d_sae - 1:,}.", 404)


def refuse_unread(request: HttpRequest) -> None:
    """Raises Refused for what is far too long by its announced size alone, before anybody reads the body."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    size = int(announced) if announced.isdigit() else 0
    most = 3 * settings.SAEVIZ_PROMPT_BYTES + 1000  # a byte may take three in a form; and the other fields
    if request.method == "POST" and size > most:
        raise Refused(
            f"The request has {size:,} bytes; this site reads prompts of {settings.SAEVIZ_PROMPT_BYTES:,}. "
            "Shorten the prompt.",
            413,
        )


def fields_of(request: HttpRequest) -> dict[str, str]:
    """The fields of the query and of a posted form. Raises Refused for other content, too many bytes, no UTF-8.

    Decoded here, and strictly: Django replaces what is not UTF-8.
    """
    raw = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    if request.method == "POST":
        if request.content_type != FORM_TYPE:
            raise Refused(f"The prompt came as {request.content_type or 'nothing'}; send {FORM_TYPE}.")
        raw = raw + b"&" + request.body
    return dict(_field(pair) for pair in raw.split(b"&") if pair)


def ids_of(sae: SAE, text: str, bos: bool, reading: str = "text") -> list[int]:
    """Token ids of a prompt that this model can read whole; needs the tokenizer only. Raises Refused, Unavailable.

    A chat begins as its template says; `bos` is for other texts.
    """
    vocabulary = tokenizer_of(sae)
    if reading == "chat":
        text, bos = _chat(sae, text), False
    try:
        ids = vocabulary.ids(text, bos=bos, special=reading != "text")
    except TokenizerMissing as error:
        raise Unavailable(f"{sae.slug} cannot be asked: {error}") from error
    if not ids:
        raise Refused("The prompt has no token. Type some text or choose an example.")
    outputs = dimensions(sae.model_path).get("d_vocab") or vocabulary.size
    if max(ids) >= outputs:  # added to the tokenizer alone
        token = vocabulary.label(max(ids))
        raise Refused(
            f"The token {token} has the id {max(ids):,}; this model knows 0 to {outputs - 1:,}. Leave it out."
        )
    most = most_tokens(sae)
    if len(ids) > most:
        raise Refused(f"Prompt has {len(ids):,} tokens; this model reads {most:,}. Shorten it.")
    return ids


def _chat(sae: SAE, text: str) -> str:
    """Messages in the form that the model was trained on; after one of the user, up to where the model speaks."""
    try:
        write, messages = chat_template_of(sae), messages_of(text)
        if write is None:
            raise Refused(
                f"The tokenizer of {sae.model_name} has no chat template, so a text cannot be read as a chat. Read it "
                "as it is, or add chat_template to its tokenizer_config.json."
            )
        return write(messages, add_generation_prompt=messages[-1]["role"] == "user")
    except ChatError as error:
        raise Refused(str(error)) from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"The chat template of {sae.slug} could not be read: {error}") from error


def tokenizer_of(sae: SAE) -> Vocabulary:
    """The model's vocabulary. Raises Unavailable."""
    try:
        return vocabulary_of(sae)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The tokenizer of {sae.slug} could not be read: {str(error).rstrip('.')}. "
            "Put the model's files back and ask again; the rest of the site works."
        ) from error


def most_tokens(sae: SAE) -> int:
    """The most tokens of one prompt: what the site allows, and never beyond the model's context."""
    return min(settings.SAEVIZ_PROMPT_TOKENS, context_length(sae.model_path) or settings.SAEVIZ_PROMPT_TOKENS)


def _field(pair: bytes) -> tuple[str, str]:
    name, _, value = (part.replace(b"+", b" ") for part in pair.partition(b"="))
    name, value = unquote_to_bytes(name).decode("latin-1"), unquote_to_bytes(value)
    most = settings.SAEVIZ_PROMPT_BYTES
    if name == "text" and len(value) > most:
        raise Refused(f"Prompt has {len(value):,} bytes; this site reads {most:,}. Shorten it.", 413)
    try:
        return name, value.decode()
    except UnicodeDecodeError as error:
        what = "The prompt" if name == "text" else f"The field {name!r}"
        raise Refused(
            f"{what} is not UTF-8: byte {value[error.start]:#04x} at {error.start:,}. Send it as UTF-8."
        ) from None


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")
