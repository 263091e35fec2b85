"""What cannot be read off a model is left out with a sentence, and nothing else is."""

import numpy as np
import pytest
import torch

from features.engine.collect.collect import collect
from features.engine.model.bridge_model import BridgeModel
from features.engine.model.config import ModelError
from features.engine.model.language_model import load_model
from features.engine.model.model_check import check_model, load_checked
from features.engine.model.norm import Norm, UnreadableNorm
from features.engine.model.verdict import Verdict
from features.engine.model.vocabulary import Vocabulary
from features.engine.prompt import analyse, rank
from features.engine.sae.checkpoint import read_sae
from features.engine.self_check import check_sae
from features.engine.subject import Subject

from .. import small
from .families import write

IDS = list(range(5, 25))


def load(folder, family, hook, width=32):
    write(folder / "model", family)
    vocabulary = Vocabulary.load(folder / "model")
    model, verdict = load_checked(folder / "model", "cpu", vocabulary)
    small.write_sae(folder / "sae", hook, width)
    return Subject(model, read_sae(folder / "sae"), hook, vocabulary, verdict)


def test_without_a_head_that_can_be_read_activations_stay_and_losses_are_left_out(tmp_path):
    subject = load(tmp_path, "OPT 350M", "blocks.0.hook_resid_post")
    assert "losses" in subject.why_no_losses and subject.why_no_effects == subject.why_no_losses
    prompt = analyse(subject, IDS)
    features, _ = prompt.active(7)
    assert len(features) and np.isnan(prompt.losses).all() and np.isnan(prompt.loss_effects(features)).all()
    assert rank(prompt, 7, "act_size").scores and rank(prompt, 7, "loss_effect").why_empty == subject.why_no_effects
    rows = small.corpus_rows(subject.model.d_vocab, count=4)
    collected = collect(subject, rows, tokens=80)
    feature = max(collected.features(), key=lambda feature: feature.activity.maximum)
    assert feature.activity.count and not len(feature.logits.positive.tokens)
    assert np.isnan(feature.shown.losses).all() and np.isnan(feature.shown.logit_effects).all()
    assert np.isnan(collected.summary.loss_clean) and np.isnan(collected.summary.loss_recovered)
    checked = check_sae(subject, rows, tokens=80)
    assert checked.loss_recovered is None and checked.explained_variance is not None


def test_effects_alone_are_left_out_where_blocks_do_not_carry_the_stream_on(tmp_path):
    subject = load(tmp_path, "Bloom, post-norm", "blocks.0.hook_resid_post")
    assert not subject.why_no_losses and "hook_resid_post" in subject.why_no_effects
    prompt = analyse(subject, IDS)
    assert np.isfinite(prompt.losses[1:]).all() and np.isnan(prompt.loss_effects(prompt.active(7)[0])).all()
    rows = small.corpus_rows(subject.model.d_vocab, count=4)
    collected = collect(subject, rows, tokens=80)
    feature = max(collected.features(), key=lambda feature: feature.activity.maximum)
    assert np.isfinite(feature.shown.losses).any() and np.isnan(feature.shown.loss_effects).all()
    assert np.isfinite(collected.summary.loss_recovered)


def test_a_norm_that_nobody_read_is_noticed_at_the_places_in_front_of_it(tmp_path, monkeypatch):
    write(tmp_path, "Gemma 2")
    monkeypatch.setattr(BridgeModel, "_norm_after", lambda self, hook: None)
    _, verdict = load_checked(tmp_path, "cpu", Vocabulary.load(tmp_path))
    assert not verdict.head and set(verdict.sites) == {"attn.hook_z", "mlp.hook_post"}
    assert verdict.why_no_effects("blocks.1.mlp.hook_post") and not verdict.why_no_effects("blocks.1.hook_mlp_out")
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    with pytest.raises(ValueError, match="version 0"):
        Verdict.from_dict(verdict.to_dict() | {"checked": 0})


def test_a_model_whose_pass_with_hooks_is_another_is_refused(tmp_path):
    write(tmp_path, "Llama")
    model = load_model(tmp_path, "cpu", torch.arange(40).view(2, 20))
    assert not check_model(model).left_out
    model.own_logits = model.own_logits + 1
    with pytest.raises(ModelError, match="other logits than its own library, by 1 where"):
        check_model(model)
    model.own_logits[0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match="no numbers"):
        check_model(model)


@pytest.mark.parametrize("gain", [None, "as it is", "above 1"])
@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
def test_a_norm_is_read_by_what_it_does(kind, gain):
    torch.manual_seed(0)
    weight, bias = torch.randn(16), torch.randn(16) if kind == "LayerNorm" else None

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias, self.variance_epsilon = None if gain is None else weight, bias, 1e-3

        def forward(self, x):
            x = x - x.mean(-1, keepdim=True) if kind == "LayerNorm" else x
            x = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()
            x = x if gain is None else x * (weight + (gain == "above 1"))
            return x if bias is None else x + bias

    norm, x = Norm.read(Module(), 16), torch.randn(5, 16)
    assert norm.centred == (kind == "LayerNorm")
    torch.testing.assert_close(norm(x), Module()(x))


def test_what_is_no_norm_is_said_to_be_none():
    assert Norm.read(torch.nn.Identity(), 16) is None
    with pytest.raises(UnreadableNorm, match="Tanh"):
        Norm.read(torch.nn.Tanh(), 16)
