"""Published numbers are found again where they are right, and told where they are not."""

import pytest
import torch
from safetensors.torch import load_file

from features.engine import reference
from features.gelu1l.published_numbers import compare

from ...engine import small
from ...engine.twin import unembedding_of

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
    active = [(p, i) for p in range(len(PROMPT)) for i in range(small.D_SAE) if _activation(subject, PROMPT, p, i)]
    found["act_size"] = [[p, i, _activation(subject, PROMPT, p, i)] for p, i in active]
    found["loss_effect"] = [[p + 1, i, _loss_effect(subject, out, p, i)] for p, i in active if p + 1 < len(PROMPT)]
    found["act_size"].sort(key=lambda number: (number[0], -number[2]))
    found["loss_effect"].sort(key=lambda number: (number[0], number[2]))
    return found


def _activation(subject, ids, position, feature):
    return float(subject.sae.encode(subject.activations(ids))[0, position, feature])


def _loss_effect(subject, out, position, feature):
    x = subject.activations_and_residual(PROMPT)[1][0, position].double()
    aim, f = torch.tensor(PROMPT[position + 1]), torch.tensor(_activation(subject, PROMPT, position, feature))
    direction = reference.output_directions(subject.sae.W_dec[feature].double(), out.double())
    return float(reference.loss_effect(x, aim, f, direction, unembedding_of(subject.model.unembedding)))


def test_numbers_of_these_weights_are_found_again(subject, published):
    for compared in compare(subject, published):
        assert compared.numbers and compared.beyond == 0, compared


@pytest.mark.parametrize("kind", ["logits", "alignment", "activations", "act_size", "loss_effect"])
def test_one_wrong_number_of_any_kind_is_told(subject, published, kind):
    published[kind][-1][-1] += 0.1
    assert {c.kind: c.beyond for c in compare(subject, published) if c.beyond} == {kind: 1}


@pytest.mark.parametrize("metric", ["act_size", "loss_effect"])
def test_another_order_of_features_on_a_token_is_told(subject, published, metric):
    of_token = [n for n, number in enumerate(published[metric]) if number[0] == 3]
    first, last = of_token[0], of_token[-1]
    numbers = published[metric]
    numbers[first], numbers[last] = numbers[last], numbers[first]
    assert {c.kind: c.beyond for c in compare(subject, published) if c.beyond} == {f"order by {metric}": 1}


def test_a_feature_that_only_one_of_both_lists_is_told(subject, published):
    missing = [number for number in published["act_size"] if number[2] > 0.01][0]
    published["act_size"].remove(missing)
    order = {c.kind: c for c in compare(subject, published)}["order by act_size"]
    assert order.beyond == 1 and order.largest == pytest.approx(missing[2])
    silent = next(i for i in range(small.D_SAE) if not _activation(subject, PROMPT, 3, i))
    published["loss_effect"].append([4, silent, 0.0])
    assert {c.kind: c.largest for c in compare(subject, published)}["order by loss_effect"] == float("inf")
