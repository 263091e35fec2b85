"""Which prompts are worth trying first, and what to look at in them?"""

from dataclasses import dataclass
from urllib.parse import urlencode

from features.engine.model.vocabulary import Vocabulary
from features.engine.text.tokenizer_file import TokenizerMissing
from features.models import SAE
from features.runtime import Unavailable
from features.storage.findings_file import findings_of

from .forms import tokenizer_of


@dataclass(frozen=True)
class SamplePrompt:
    """A prompt to start from, and the token of it to look at."""

    text: str
    on: str  # the token to look at is the one that holds the beginning of this
    metric: str
    look: str  # what to look at

    def query(self, vocabulary: Vocabulary) -> str:
        """Its address on the prompt page of a model with this vocabulary."""
        return urlencode({"text": self.text, "position": self._position(vocabulary), "rank": self.metric})

    def _position(self, vocabulary: Vocabulary) -> int:
        """Position of the token looked at, BOS in front counted."""
        bos = vocabulary.bos_id is not None
        return bos + vocabulary.index_of_token_at(self.text, self.text.rindex(self.on))


SAMPLE_PROMPTS = (
    SamplePrompt("What are you doing?", "?", "loss_effect", "Which features saw the question mark coming?"),
    SamplePrompt(
        "The date today is September 4th, 2012.",
        "12.",
        "loss_effect",
        "What predicts the next digit of a year?",
    ),
    SamplePrompt(
        "Never gonna give you up\nNever gonna let you down\nNever gonna run around and desert you",
        "up\n",
        "loss_effect",
        "Which features give a verb its particle?",
    ),
    SamplePrompt("'first_name': ('django.db.models.fields", "('", "act_quantile", "What is rare about this bracket?"),
    SamplePrompt("for (i = 0; i < n; i++) {\n    node->next = NULL;", "->", "act_size", "Which features read C?"),
    SamplePrompt("Can't you see that it is raining?", "Can", "act_quantile", "A word and what may follow it."),
)


def sample_prompts_for(sae: SAE) -> list[dict[str, str]]:
    """[{"text", "look", "query"}]: the prompts somebody found for this SAE, else some that fit any model."""
    if prompts := findings_of(sae).prompts:
        return [{"text": p.text, "look": f"{p.name}: {p.sentence}", "query": p.query} for p in prompts]
    try:
        vocabulary = tokenizer_of(sae)
        return [{"text": p.text, "look": p.look, "query": p.query(vocabulary)} for p in SAMPLE_PROMPTS]
    except (Unavailable, TokenizerMissing):  # the page says so in answer to a question; it can be read meanwhile
        return []
