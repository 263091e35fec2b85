"""What does the user say of an SAE, beside what its files say, and what is still to be asked?"""

from collections.abc import Iterable, Sequence

from features.engine.sae.reading.errors import CheckpointError, Question

ANSWERS = {
    "activation": "the activation function",
    "k": "features kept per token",
    "threshold": "value above which a feature is active; of BatchTopK also 'k_on_average', 'file' or 'per_token'",
    "normalize": "what is done to the input first: none, layer_norm or constant_norm_rescale",
    "scaling_factor": "number the activations were multiplied by in training",
    "apply_b_dec_to_input": "is the decoder bias subtracted before the encoder",
    "dict_class": "class the dictionary was trained as",
    "model_name": "model whose activations were learnt",
    "hook_point": "where in the model the activations are read",
    "hook_head_index": "attention head, where only one is read",
    "prepend_bos": "did training sequences start with BOS",
    "context_size": "tokens per training sequence",
    "center_writing_weights": "is the mean of the residual stream taken out first, as transformer_lens can load models",
}
THRESHOLDS = ("k_on_average", "file", "per_token")  # of BatchTopK, where no number is answered
MEASURED = "measured"  # a scaling factor: the one that explains most on the text here
KINDS = {"k": int, "hook_head_index": int, "context_size": int, "scaling_factor": float}
KINDS |= {"apply_b_dec_to_input": bool, "prepend_bos": bool, "center_writing_weights": bool}
NOUNS = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
SUBJECT = ("model_name", "hook_point", "hook_head_index", "prepend_bos", "context_size")


class Answers:
    """What the user says, beside what the files say; collects what neither does."""

    def __init__(self, given: dict | None = None):
        self.open = []
        self.asked = set()  # names that a layout has asked for or offered, answered or not
        unknown = sorted(set(given or {}) - set(ANSWERS))
        if unknown:
            known = ", ".join(ANSWERS)
            raise CheckpointError(f"No layout asks for {', '.join(unknown)}. Answers may name: {known}.")
        self.given = {n: _typed(n, v) for n, v in (given or {}).items() if v is not None and v != ""}

    def resolve(self, name: str, value_in_file, candidates: Iterable = (), text: str | None = None):
        """The file's value if it has one, else the answer, else None and an open question.

        CheckpointError where both speak and differ: the weights were made for the file's value.
        """
        self.asked.add(name)
        given = self.given.get(name)
        value_in_file = _typed(name, value_in_file)
        if value_in_file is None and given is None:
            self.open.append(Question(name, text or _sentence(name), tuple(candidates)))
        if value_in_file is not None and given is not None and value_in_file != given:
            raise CheckpointError(
                f"The file says {name} = {value_in_file}, the answer says {given}. Leave the answer out."
            )
        return given if value_in_file is None else value_in_file

    def offer(self, name: str, candidates: Sequence):
        """The answer; else the first candidate, and a question that need not be answered."""
        self.asked.add(name)
        if name not in self.given:
            text = f"{_sentence(name)} {candidates[0]} is taken where nothing is said."
            self.open.append(Question(name, text, tuple(candidates), required=False))
        return self.given.get(name, candidates[0])

    def accept(self, name: str, default=None):
        """The answer, else the default: for what is rarely so, and therefore not asked."""
        self.asked.add(name)
        return self.given.get(name, default)

    def refuse_unused(self, layout: str, taken: dict, configs: str) -> None:
        """CheckpointError where an answer was given that nothing asked for: it would change nothing, and stand on a
        page as if it did. `taken`: what was read for the same names, where the files settle it; the same is no error.
        """
        unused = [name for name in self.given if name not in self.asked and name not in SUBJECT]
        for name in unused:
            if name in taken and self.given[name] == taken[name]:
                continue
            says = f"; {configs}, it is read with {name} = {_word(taken[name])}" if name in taken else ""
            raise CheckpointError(
                f"{layout} does not ask for {name}{says}. The answer {name} = {_word(self.given[name])} would change "
                "nothing: leave it out."
            )

    def subject(self, values_in_file: dict, candidates: dict) -> dict:
        """The facts of the subject, the user's word first; open ones become optional questions."""
        facts = {name: self.given.get(name, _typed(name, values_in_file.get(name))) for name in SUBJECT}
        for name in ("model_name", "hook_point"):
            if facts[name] is None:
                options = tuple(candidates.get(name, ()))
                self.open.append(Question(name, _sentence(name), options, required=False))
        return facts


def _typed(name, value):
    """The value as what it stands for: forms and JSON hold "32", 32.0 or "true"."""
    if value is None:
        return None
    if name == "threshold" and value not in THRESHOLDS:
        checked_threshold(value, f", nor one of {', '.join(THRESHOLDS)}")
    kind = KINDS.get(name, str)
    if name == "scaling_factor" and value == MEASURED:
        return value
    if kind is bool and str(value).lower() in WORDS:
        return WORDS[str(value).lower()]
    try:
        # A bool is an int to Python: True is not the number 1 here.
        if kind is bool or not isinstance(value, str | int | float) or isinstance(value, bool):
            raise ValueError
        if kind is int and int(value) != float(value):
            raise ValueError
        return kind(value)
    # JSON may hold Infinity, of which int() raises OverflowError.
    except (ValueError, OverflowError):
        raise CheckpointError(f"{name} = {value!r} is no {NOUNS[kind]}.") from None


def checked_threshold(value, beside: str = "") -> float:
    """The number that an answer holds. Raises CheckpointError; `beside`: what else it could have been."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (ValueError, TypeError):
        raise CheckpointError(f"threshold = {value!r} is no number{beside}.") from None


def _word(value):
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _sentence(name):
    text = ANSWERS[name]
    return text[0].upper() + text[1:] + "?"
