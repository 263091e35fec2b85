"""Models open from a folder, and both ways through them say what transformer_lens says."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file

from features.engine.model import language_model
from features.engine.model.boot import boot
from features.engine.model.bridge_model import BridgeModel
from features.engine.model.config import ModelError, context_length
from features.engine.model.hook_points import SITES
from features.engine.model.one_layer import OneBlockModel

from .. import small

HOOKS = [f"blocks.0.{site}" for site in SITES]


@pytest.fixture(scope="module")
def tokens(subject):
    g = torch.Generator().manual_seed(3)
    return torch.randint(3, subject.model.d_vocab, (3, 20), generator=g)


@pytest.fixture(scope="module")
def bridge(small_folder):
    """The same one-block model through transformer_lens."""
    folder = small_folder / "model"
    return boot(folder, "cpu")


def test_a_one_block_model_is_run_without_transformer_lens(subject):
    assert isinstance(subject.model, OneBlockModel)


@pytest.mark.parametrize("hook", HOOKS)
def test_direct_activations_equal_transformer_lens(subject, bridge, tokens, hook):
    direct, residual = subject.model.activations_and_residual(tokens, hook)
    theirs, last = bridge.activations_and_residual(tokens, hook)
    torch.testing.assert_close(direct, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(residual, last, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(subject.model.activations(tokens, hook), direct, rtol=0, atol=0)
    torch.testing.assert_close(bridge.activations(tokens, hook), theirs, rtol=0, atol=0)


def test_logits_equal_transformer_lens(subject, bridge, tokens):
    residual = subject.model.activations_and_residual(tokens, small.HOOK)[1]
    theirs = bridge.bridge(tokens, return_type="logits", prepend_bos=False)
    torch.testing.assert_close(subject.model.unembedding.logits(residual), theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(bridge.unembedding.logits(residual), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hook", HOOKS)
def test_replacing_activations_by_themselves_changes_nothing_and_by_others_something(subject, bridge, tokens, hook):
    for model in (subject.model, bridge):
        _, residual = model.activations_and_residual(tokens, hook)
        torch.testing.assert_close(model.residual_with(tokens, hook, lambda h: h), residual, rtol=1e-5, atol=1e-5)
        assert (model.residual_with(tokens, hook, torch.zeros_like) - residual).abs().max() > 0.01
    ours, theirs = (m.residual_with(tokens, hook, lambda h: h * 0.5) for m in (subject.model, bridge))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_output_maps_lead_into_the_residual_stream(subject, bridge, tokens):
    for hook in ("blocks.0.mlp.hook_post", "blocks.0.attn.hook_z"):
        ours, theirs = (model.output_map(hook) for model in (subject.model, bridge))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert ours.shape == (subject.model.hook_points[hook], small.D_MODEL)
    assert subject.model.output_map("blocks.0.hook_mlp_out") is None


def test_a_deeper_model_goes_through_transformer_lens(tmp_path):
    small.write_model(tmp_path / "deep", n_layers=2)
    model = language_model.load_model(tmp_path / "deep", "cpu")
    assert isinstance(model, BridgeModel)
    tokens = torch.tensor([[0, 5, 6, 7]])
    for hook in ("blocks.0.hook_resid_post", "blocks.1.mlp.hook_post"):
        h, residual = model.activations_and_residual(tokens, hook)
        assert h.shape == (1, 4, model.hook_points[hook])
        theirs = model.bridge(tokens, return_type="logits", prepend_bos=False)
        torch.testing.assert_close(model.unembedding.logits(residual), theirs, rtol=1e-5, atol=1e-5)


def test_nothing_after_the_hook_is_run(bridge, tokens):
    ran = []
    unembed = bridge.bridge.unembed.register_forward_hook(lambda *_: ran.append("unembed"))
    try:
        bridge.activations(tokens, small.HOOK)
        bridge.activations_and_residual(tokens, small.HOOK)
    finally:
        unembed.remove()
    assert not ran


def test_passes_side_by_side_do_not_see_each_others_hooks(bridge, subject):
    prompts = [torch.full((1, 12), token) for token in range(3, 23)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda tokens: bridge.activations(tokens, small.HOOK), prompts))
    for tokens, activations in zip(prompts, found, strict=True):
        expected = subject.model.activations(tokens, small.HOOK)
        torch.testing.assert_close(activations, expected, rtol=1e-5, atol=1e-5)


def test_a_hugging_face_folder_opens_without_the_hub(tmp_path, monkeypatch):
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    small.write_tokenizer(tmp_path)
    PreTrainedTokenizerFast.from_pretrained(str(tmp_path)).save_pretrained(str(tmp_path))
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=262, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    theirs = GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(str(tmp_path))
    model = language_model.load_model(tmp_path, "cpu")
    tokens = torch.tensor([[0, 9, 8, 7]])
    h, residual = model.activations_and_residual(tokens, "blocks.1.mlp.hook_post")
    assert h.shape == (1, 4, 64)
    torch.testing.assert_close(model.unembedding.logits(residual), theirs(tokens).logits, rtol=1e-4, atol=1e-5)
    assert context_length(tmp_path) == 32


def test_half_precision_weights_are_computed_in_float32(small_folder, tmp_path):
    small.write_model(tmp_path / "half")
    path = tmp_path / "half" / "model.safetensors"
    save_file({name: weight.half() for name, weight in load_file(path).items()}, path)
    model = language_model.load_model(tmp_path / "half", "cpu")
    assert model.activations(torch.tensor([[0, 5]]), small.HOOK).dtype == torch.float32


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("no config", "needs a config.json"),
        ("bad config", "is no JSON: "),
        ("no weights", "cannot be loaded"),
        ("cut weights", "damaged|cannot be loaded"),
        ("pointer", "is a Git LFS pointer.*git lfs pull"),
        ("missing tensor", "unembed.W_U"),
    ],
)
def test_a_damaged_model_says_what_is_wrong(tmp_path, damage, says):
    folder = tmp_path / "broken"
    small.write_model(folder)
    weights = folder / "model.safetensors"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "bad config":
        (folder / "config.json").write_text("{")
    elif damage == "no weights":
        weights.unlink()
    elif damage == "pointer":
        weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d7a' * 16}\nsize 16796032\n")
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        save_file({k: v for k, v in load_file(weights).items() if k != "unembed.W_U"}, weights)
    with pytest.raises(ModelError, match=says):
        language_model.load_model(folder, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(ModelError, match="sees no GPU. Use 'cpu'"):
        language_model.device_named("cuda")


def test_an_unknown_hook_point_names_those_that_fit(subject):
    from features.engine.subject import Subject, SubjectError

    with pytest.raises(SubjectError, match="blocks.0.mlp.hook_post"):
        Subject(subject.model, subject.sae, "blocks.7.mlp.hook_post", subject.vocabulary)
    with pytest.raises(SubjectError, match="reads 24 values, blocks.0.hook_mlp_out has 16"):
        Subject(subject.model, subject.sae, "blocks.0.hook_mlp_out", subject.vocabulary)


def test_total_effects_are_claimed_only_where_nothing_comes_after(subject):
    assert subject.total_effect
    assert subject.reads_neurons


def test_a_config_of_a_model_far_larger_than_its_files_is_refused_before_room_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("features.engine.model.boot.boot", lambda *_: pytest.fail("room was made"))
    save_file({"wte.weight": torch.zeros(8, 8)}, tmp_path / "model.safetensors")
    said = {"model_type": "gpt2", "n_layer": 1000, "n_embd": 8192, "n_inner": 32768, "n_head": 8, "vocab_size": 50257}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(ModelError, match="speaks of 268,847,161,344 weights at least, and the files beside it have 3"):
        language_model.load_model(tmp_path, "cpu")


@pytest.mark.parametrize("said", [{}, {"d_mlp": None}])
def test_an_mlp_whose_width_is_left_out_is_four_times_as_wide_as_the_model(tmp_path, monkeypatch, said):
    monkeypatch.setattr(small, "D_MLP", 4 * small.D_MODEL)
    config = small.write_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "d_mlp"} | said))
    assert language_model.load_model(tmp_path, "cpu").hook_points["blocks.0.mlp.hook_post"] == 4 * small.D_MODEL


@pytest.mark.parametrize("name", ["d_model", "n_heads", "d_head", "d_vocab", "n_ctx"])
def test_what_the_config_of_a_one_block_model_does_not_say_is_named(tmp_path, name):
    config = small.write_model(tmp_path)
    for damaged in ({k: v for k, v in config.items() if k != name}, config | {name: None}):
        (tmp_path / "config.json").write_text(json.dumps(damaged))
        with pytest.raises(ModelError, match=f"config.json does not say {name}"):
            language_model.opened_with(tmp_path)
