"""Which prompts are worth trying first, and what to look at in them?"""

from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True)
class Example:
    text: str
    look: str  # what to look at
    rank: str = "act_size"
    position: int | None = None  # the last token where None

    @property
    def query(self):
        """Its address on the prompt page."""
        position = {} if self.position is None else {"position": self.position}
        return urlencode({"text": self.text, **position, "rank": self.rank})


EXAMPLES = (
    Example("What are you doing?", "Loss effect on the question mark: what saw the question coming?"),
    Example(
        "The date today is September 4th, 2012.",
        "Loss effect on the digits of 2012: what predicts the next digit of a year?",
    ),
    Example(
        "Never gonna give you up\nNever gonna let you down\nNever gonna run around and desert you",
        "Loss effect on “up” and “down”: which features give verbs their particle?",
    ),
    Example("'first_name': ('django.db.models.fields", "Act quantile on the bracket: what is rare about it?"),
    Example("for (i = 0; i < n; i++) {\n    node->next = NULL;", "Act size on “->”: code that looks like C."),
    Example("Can't you see that it is raining?", "Act quantile on “Can”: a word and what follows it."),
)
