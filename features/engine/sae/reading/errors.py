"""What can be wrong with a checkpoint, and what has to be asked of the user."""

from contextlib import contextmanager
from dataclasses import dataclass

from features.engine.foreign_files import is_panic, reason, stand_in


class CheckpointError(ValueError):
    """The file cannot be read as an SAE; the message says what was found and the way out."""


class Transcoder(CheckpointError):
    """`name`, in words, learnt to predict another place of the model than it reads."""

    def __init__(self, path, name: str):
        super().__init__(
            f"{path}: {name} predicts another place of the model than it reads, so it has no reconstruction error. "
            "Only autoencoders are read here."
        )


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


@contextmanager
def reading(path):
    """Around a parser of foreign bytes: wherever a damaged file leads it, a CheckpointError says so."""
    try:
        yield
    # Too little memory says nothing against the file.
    except (CheckpointError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        size = path.stat().st_size
        raise CheckpointError(
            stand_in(path)
            or f"{path} ({size:,} bytes) is cut short or damaged: {reason(error)}. Download or copy it again."
        ) from error
