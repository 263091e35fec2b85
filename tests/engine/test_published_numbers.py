"""Published numbers are found again where they are right, and told where they are not."""

import pytest
import torch
from safetensors.torch import load_file

from features.engine.published_numbers import compare

from . import small

PROMPT = [5, 17, 40, 8, 99, 23]


@pytest.fixture
def published(subject, small_folder, rows):
    """What a page would print: one number at a time, with the folding and centring that the publishers used."""
    weights = load_file(small_folder / "model" / "model.safetensors")
    U = weights["ln_final.w"][:, None] * weights["unembed.W_U"]
    U = U - U.mean(0)
    U = U - U.mean(1, keepdim=True)  # over the vocabulary
    read = [row.tolist() for row in rows[:3].astype(int)]
    sae, out = subject.sae, weights["blocks.0.mlp.W_out"]
    found = {"rows": read, "prompt": PROMPT, "logits": [], "alignment": [], "activations": []}
    for i in (0, 3, 11):
        found["logits"] += [[i, t, float(sae.W_dec[i] @ out @ U[:, t])] for t in (2, 30)]
        found["alignment"] += [[i, n, float(sae.W_dec[i, n])] for n in (1, 7)]
        for r, ids in enumerate(read):
            found["activations"] += [[i, r, p, _activation(subject, ids, p, i)] for p in (1, 9)]
    active = [(p, i) for p in range(len(PROMPT) - 1) for i in range(small.D_SAE) if _activation(subject, PROMPT, p, i)]
    found["act_size"] = [[p, i, _activation(subject, PROMPT, p, i)] for p, i in active]
    found["loss_effect"] = [[p + 1, i, _loss_effect(subject, out, p, i)] for p, i in active]
    return found


def _activation(subject, ids, position, feature):
    return float(subject.sae.encode(subject.activations(ids))[0, position, feature])


def _loss_effect(subject, out, position, feature):
    x = subject.activations_and_residual(PROMPT)[1][0, position]
    aim = torch.tensor([PROMPT[position + 1]])
    without = x - _activation(subject, PROMPT, position, feature) * subject.sae.W_dec[feature] @ out
    return float((subject.model.head.losses(x[None], aim) - subject.model.head.losses(without[None], aim))[0])


def test_numbers_of_these_weights_are_found_again(subject, published):
    for compared in compare(subject, published):
        assert compared.numbers and compared.beyond == 0, compared


@pytest.mark.parametrize("kind", ["logits", "alignment", "activations", "act_size", "loss_effect"])
def test_one_wrong_number_of_any_kind_is_told(subject, published, kind):
    published[kind][-1][-1] += 0.1
    assert {c.kind: c.beyond for c in compare(subject, published) if c.beyond} == {kind: 1}
