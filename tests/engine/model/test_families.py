"""Every figure that rests on a model's forward, its head or its output weights is transformers' own, in each family."""

import pytest
import torch

from features.engine.model.hook_points import SITES, hook_widths
from features.engine.model.model_check import load_checked
from features.engine.model.vocabulary import Vocabulary
from features.engine.prompt import analyse
from features.engine.subject import Subject

from .. import small
from .families import FAMILIES, write

PARALLEL = {"Cohere", "GPT-NeoX", "GPT-J", "Phi", "Falcon", "StableLM, parallel"}  # attention beside the MLP
NORM_AFTER = {"Gemma 2", "Gemma 2, no caps", "Gemma 3", "OLMo 2"}  # attention and MLP
LEFT_OUT = {"Mixtral": ("mlp.hook_post",), "Mamba": ("attn.hook_z", "hook_attn_out", "mlp.hook_post", "hook_mlp_out")}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """(name, folder, transformers' model, ours, what the check says)."""
    folder = tmp_path_factory.mktemp("family")
    theirs = write(folder, request.param)
    ours, checked = load_checked(folder, "cpu", Vocabulary.load(folder))
    return request.param, folder, theirs, ours, checked


@pytest.fixture(scope="module")
def ids():
    return torch.randint(3, 250, (2, 20), generator=torch.Generator().manual_seed(5))


def close(found, expected, share=1e-5):
    assert (found - expected).abs().max() <= share * expected.abs().max()


@torch.no_grad()
def test_residual_stream_logits_and_losses_are_transformers_own(family, ids):
    _, _, theirs, ours, checked = family
    streams = []
    hooks = [block.register_forward_pre_hook(lambda module, args: streams.append(args[0])) for block in blocks(theirs)]
    expected = theirs(ids)
    for hook in hooks:
        hook.remove()
    seen, _ = ours.everything(ids)
    residual = ours.activations_and_residual(ids, "blocks.1.hook_resid_post")[1]
    for layer, stream in enumerate(streams):
        close(seen[f"blocks.{layer}.hook_resid_pre"], stream)
    close(ours.unembedding.logits(residual), expected.logits)
    losses = ours.unembedding.losses(residual[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    close(losses, torch.nn.functional.cross_entropy(expected.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(),
                                                    reduction="none"))  # fmt: skip
    assert checked.left_out == () and checked.notes == () and max(checked.maps.values(), default=0) < 1e-5


def test_hook_points_are_those_that_the_model_has(family, ids):
    name, folder, _, ours, checked = family
    missing = {*LEFT_OUT.get(name, ()), *(("hook_resid_mid",) if name in PARALLEL or name == "Mamba" else ())}
    assert {site for site in SITES if f"blocks.1.{site}" not in ours.hook_points} == missing
    for hook, width in ours.hook_points.items():
        assert ours.activations(ids[:1], hook).shape == (1, 20, width)
    assert checked.hook_points == ours.hook_points
    assert set(checked.norms) == ({"attn.hook_z", "mlp.hook_post"} if name in NORM_AFTER else set())
    # What a form offers before anything is loaded is no more, and of the same width.
    assert hook_widths(folder).items() <= ours.hook_points.items()


@torch.no_grad()
def test_output_maps_lead_to_what_the_block_adds(family, ids):
    name, _, _, ours, _ = family
    seen, _ = ours.everything(ids)
    for inner, outer in (("attn.hook_z", "hook_attn_out"), ("mlp.hook_post", "hook_mlp_out")):
        hook = f"blocks.1.{inner}"
        if hook not in ours.hook_points:
            continue
        h, added = seen[hook].flatten(0, 1), seen[f"blocks.1.{outer}"].flatten(0, 1)
        scale = ours.output_scale(hook, h)
        assert (scale is not None) == ours.norm_follows(hook) == (name in NORM_AFTER)
        # A bias adds the same on every token: it is gone in the difference of two.
        written = (added if scale is None else added * scale[:, None]).diff(dim=0)
        close(h.diff(dim=0) @ ours.output_map(hook), written, 1e-4)


@torch.no_grad()
def test_what_stands_in_place_of_activations_goes_on_through_the_model(family, ids):
    _, _, _, ours, _ = family
    seen, _ = ours.everything(ids)
    for hook in (hook for hook in ours.hook_points if hook.startswith("blocks.1.")):
        close(ours.residual_with(ids, hook, lambda h: h), seen["blocks.1.hook_resid_post"])
    for inner, outer in (("attn.hook_z", "hook_attn_out"), ("mlp.hook_post", "hook_mlp_out")):
        hook = f"blocks.1.{inner}"
        if hook in ours.hook_points:
            added = ours.contribution(hook, seen[hook].flip(1))  # of other tokens
            expected = ours.residual_with(ids, f"blocks.1.{outer}", lambda _, added=added: added)
            close(ours.residual_with(ids, hook, lambda h: h.flip(1)), expected)
            assert (expected - seen["blocks.1.hook_resid_post"]).abs().max() > 0.01
    halves = [ours.residual_with(ids, hook, lambda h: h / 2) for hook in ("blocks.0.hook_resid_post",
                                                                          "blocks.1.hook_resid_pre")]  # fmt: skip
    close(*halves)


def blocks(model):
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == 2)
    return max(lists, key=lambda module: sum(weight.numel() for weight in module.parameters()))


@torch.no_grad()
def loss_without(theirs, ids, position, written):
    """transformers' own loss of the next token when its last block has written so much less."""

    def less(module, args, output):
        stream = output[0] if isinstance(output, tuple) else output
        stream[0, position] -= written

    hook = blocks(theirs)[-1].register_forward_hook(less)
    try:
        logits = theirs(torch.tensor([ids])).logits[0, position]
    finally:
        hook.remove()
    return float(-logits.log_softmax(-1)[ids[position + 1]])


def test_loss_effects_are_those_of_transformers_own_class(family, tmp_path, ids):
    name, folder, theirs, ours, checked = family
    hook = next(h for h in ("blocks.1.mlp.hook_post", "blocks.1.hook_resid_post") if h in ours.hook_points)
    small.write_sae(tmp_path, hook, ours.hook_points[hook])
    from features.engine.sae.checkpoint import read_sae

    subject = Subject(ours, read_sae(tmp_path), hook, Vocabulary.load(folder), checked)
    prompt, through = analyse(subject, ids[0].tolist()), ours.output_map(hook)
    assert subject.total_effect == (name not in NORM_AFTER)
    h = ours.activations(ids[:1], hook)
    scale = ours.output_scale(hook, h)
    for position in (3, 11):
        features, values = prompt.active(position)
        found = prompt.loss_effects(features[:2])[:, position + 1]
        for feature, value, effect in zip(features[:2], values, found, strict=False):
            written = subject.sae.W_dec[feature] * float(value)
            written = written if through is None else written @ through
            written = written if scale is None else written / scale[0, position]
            expected = loss_without(theirs, ids[0].tolist(), position, 0 * written) - loss_without(
                theirs, ids[0].tolist(), position, written
            )
            assert effect == pytest.approx(expected, rel=1e-3, abs=1e-4)
