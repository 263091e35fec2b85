"""What can be wrong with a checkpoint, and what has to be asked of the user."""

from dataclasses import dataclass


class CheckpointError(ValueError):
    """The file cannot be read as an SAE; the message says what was found and the way out."""


@dataclass(frozen=True)
class Question:
    """Something the files do not say. `read_sae(path, answers={name: ...})` answers it."""

    name: str  # key of the answer
    text: str  # a sentence a form can show
    candidates: tuple = ()  # sensible answers, likeliest first
    required: bool = True  # False: the numbers are right without it, but the subject needs it


class MissingAnswer(CheckpointError):
    """The weights are readable but the files do not settle their formula; `.questions` lists what to ask."""

    def __init__(self, path, questions):
        self.questions = tuple(questions)
        asked = " ".join(f"{q.name}: {q.text}{_candidates(q)}" for q in self.questions)
        super().__init__(f"{path} does not say all that is needed. Give answers for: {asked}")


def _candidates(question):
    return f" ({' / '.join(map(str, question.candidates))})" if question.candidates else ""
