"""A model and an SAE that do not belong together are told apart when both are loaded."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models

from features.engine.model.vocabulary import Vocabulary
from features.engine.subject import SubjectError


def vocabulary(size, added=()):
    tokenizer = Tokenizer(models.WordLevel({f"w{n}": n for n in range(size)}, unk_token="w0"))
    tokenizer.add_special_tokens(list(added))
    return Vocabulary(tokenizer)


def model(subject, outputs):
    return SimpleNamespace(d_vocab=outputs, hook_points=subject.model.hook_points)


@pytest.mark.parametrize(
    ("tokens", "outputs", "said"),
    [
        (261, 255, "ids up to 260, the model 255 outputs, 0 to 254"),
        (261, 50_257, "50,257 outputs, the tokenizer 261 ids"),
    ],
)
def test_a_tokenizer_of_another_model_is_refused_with_both_numbers(subject, tokens, outputs, said):
    with pytest.raises(SubjectError, match=said):
        replace(subject, vocabulary=vocabulary(tokens), model=model(subject, outputs))


@pytest.mark.parametrize(("added", "outputs"), [((), 320), (("<|pad|>",), 261), ((), 261)])
def test_padded_outputs_and_special_tokens_that_no_text_comes_to_are_harmless(subject, added, outputs):
    replace(subject, vocabulary=vocabulary(261, added), model=model(subject, outputs))
