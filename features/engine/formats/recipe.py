"""What does a layout say of its tensors? Their names, which way round they lie, which formula they serve."""

from dataclasses import dataclass, field

from features.engine.formats.errors import CheckpointError, Question

ANSWERS = {
    "activation": "the activation function",
    "k": "features kept per token",
    "threshold": "value above which a feature is active, or 'per_token' to keep the k largest instead",
    "normalize": "what is done to the input first: none, layer_norm or constant_norm_rescale",
    "scaling_factor": "number the activations were multiplied by in training",
    "apply_b_dec_to_input": "is the decoder bias subtracted before the encoder",
    "dict_class": "class the dictionary was trained as",
    "model_name": "model whose activations were learnt",
    "hook_point": "where in the model the activations are read",
    "hook_head_index": "attention head, where only one is read",
    "prepend_bos": "did training sequences start with BOS",
    "context_size": "tokens per training sequence",
}
KINDS = {"k": int, "hook_head_index": int, "context_size": int, "scaling_factor": float}
KINDS |= {"apply_b_dec_to_input": bool, "prepend_bos": bool}
NOUNS = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
SUBJECT = ("model_name", "hook_point", "hook_head_index", "prepend_bos", "context_size")


@dataclass(frozen=True)
class Matrix:
    """A weight matrix by name; `transposed` where it lies the other way round than ours."""

    name: str
    transposed: bool = False

    def shape(self, shapes):
        shape = tuple(shapes[self.name])
        return shape[::-1] if self.transposed else shape


@dataclass(frozen=True)
class Gate:
    """Tensor names of a gated SAE: gate p + gate_bias > 0, magnitude p * exp(log_scale) + magnitude_bias."""

    gate_bias: str
    magnitude_bias: str
    log_scale: str


@dataclass
class Recipe:
    """x = input_scale * norm(h); p = (x - pre_bias) @ encoder + encoder_bias; f = act(p); the way back alike.

    Fields that name tensors hold None where the layout has no such tensor. `assemble` folds them all.
    """

    format: str
    encoder: Matrix  # ours: [d_in, d_sae]
    decoder: Matrix  # ours: [d_sae, d_in]
    encoder_bias: str | None = None
    decoder_bias: str | None = None
    pre_bias: str | None = None
    activation: str = "relu"
    k: int | None = None
    threshold: str | float | None = None  # a tensor's name (one value or d_sae) or the value itself
    threshold_is_log: bool = False
    gate: Gate | None = None
    bias_scale: float = 1.0  # biases and threshold were stored for activations divided by this
    input_scale: float = 1.0  # input was multiplied by this in training, and the output divided
    feature_scale: str | None = None  # multiplies f in the decoder only
    rescale_by_decoder_norm: bool = False  # act sees p * |W_dec[i]|, the decoder divides it out again
    input_norm: str = "none"
    architecture: str | None = None  # the layout's own word
    subject: dict = field(default_factory=dict)  # what the files say under the names of SUBJECT
    stated: dict = field(
        default_factory=dict
    )  # d_in, d_sae as configs say them, to be held against the tensors
    ignored: tuple = ()  # tensors that serve training only
    notes: list = field(default_factory=list)  # sentences for the reader

    def tensors(self):
        """Names of the tensors the formula needs."""
        names = [self.encoder.name, self.decoder.name, self.encoder_bias, self.decoder_bias, self.pre_bias]
        names += [self.threshold if isinstance(self.threshold, str) else None, self.feature_scale]
        if self.gate:
            names += [self.gate.gate_bias, self.gate.magnitude_bias, self.gate.log_scale]
        return list(dict.fromkeys(name for name in names if name))


class Answers:
    """What the user says, beside what the files say; collects what neither does."""

    def __init__(self, given=None):
        self.open = []
        unknown = sorted(set(given or {}) - set(ANSWERS))
        if unknown:
            known = ", ".join(ANSWERS)
            raise CheckpointError(f"No layout asks for {', '.join(unknown)}. Answers may name: {known}.")
        self.given = {n: _typed(n, v) for n, v in (given or {}).items() if v is not None and v != ""}

    def settle(self, name, said, candidates=(), text=None):
        """The file's value if it has one, else the answer, else None and an open question.

        CheckpointError where both speak and differ: the weights were made for the file's value.
        """
        given = self.given.get(name)
        said = _typed(name, said) if name in KINDS and said is not None else said
        if said is None and given is None:
            self.open.append(Question(name, text or _sentence(name), tuple(candidates)))
        if said is not None and given is not None and said != given:
            raise CheckpointError(
                f"The file says {name} = {said}, the answer says {given}. Leave the answer out."
            )
        return given if said is None else said

    def subject(self, said, candidates):
        """The facts of the subject, the user's word first; open ones become optional questions."""
        facts = {name: self.given.get(name, said.get(name)) for name in SUBJECT}
        for name in ("model_name", "hook_point"):
            if facts[name] is None:
                options = tuple(candidates.get(name, ()))
                self.open.append(Question(name, _sentence(name), options, required=False))
        return facts


def _typed(name, value):
    """The value as what it stands for, a form or a JSON file may hold "32", 32.0 or "true"."""
    kind = KINDS.get(name, str)
    if kind is bool and str(value).lower() in WORDS:
        return WORDS[str(value).lower()]
    try:
        if kind is bool or isinstance(value, bool) or (kind is int and int(value) != float(value)):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError):
        raise CheckpointError(f"{name} = {value!r} is no {NOUNS[kind]}.") from None


def _sentence(name):
    text = ANSWERS[name]
    return text[0].upper() + text[1:] + "?"


def first(*values):
    """The first value that is there; what several configs say of one thing, most trusted first."""
    return next((value for value in values if value is not None), None)
