"""How does a reader have a page's numbers again, from the same files, in plain Python?"""

from ..models import SAE, Statistics

SNIPPET = """\
# {name}: density, activations and logits of feature {index}
# checkpoint {checkpoint}
import numpy as np
import torch

from features.engine.corpus.token_rows import counted_tokens, open_rows, rows_needed
from features.engine.subject import Subject

subject = Subject.load({model!r}, {sae!r}, {hook!r}, answers={answers!r})
rows, special = open_rows({rows!r}), subject.vocabulary.special  # {corpus}, sha256 {sha256}
rows = rows[: rows_needed(counted_tokens(rows[:, {first}:], special), {tokens})]
values = []
for row in rows.astype(np.int64):
    f = subject.sae.encode(subject.activations(row)[0])[{first}:, {index}]  # [tokens]
    counted = ~np.isin(row[{first}:], sorted(special))
    values.append(f[torch.from_numpy(counted).to(f.device)])
values = torch.cat(values)
active = values[values != 0].abs()  # sizes: in a few SAEs activations have a sign
print("tokens", len(values))
print("density", len(active) / len(values))
print("top activation", max(active.tolist(), default=0.0))
print("mean activation", sum(active.tolist()) / max(1, len(active)))
unembedding = subject.model.unembedding
effects = unembedding.unscaled(unembedding.centre(subject.output_directions([{index}])))[0]  # [vocabulary]
for value, token in zip(*(found.tolist() for found in effects.topk(10))):
    print("logit of token", token, value)
"""


def feature_snippet(sae: SAE, statistics: Statistics, index: int) -> str:
    """A program that prints what the page of a feature says. Run it where `features` can be imported."""
    return SNIPPET.format(
        name=_one_line(sae.name),
        index=index,
        checkpoint=statistics.checkpoint_hash,
        model=sae.model_path,
        sae=sae.path,
        hook=sae.hook_point,
        answers=sae.answers or None,
        rows=statistics.corpus.path,
        corpus=_one_line(statistics.corpus.name),
        sha256=statistics.corpus.sha256[:16],
        tokens=statistics.tokens,
        first=statistics.corpus.first,
    )


def _one_line(text: str) -> str:
    """For a comment: nothing in a name may end its line and become code."""
    return " ".join(text.split())
