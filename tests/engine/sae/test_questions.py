"""What the files do not say is asked, once and by name; what they say is not overruled."""

import hashlib
import json

import pytest
import torch

from features.engine.sae.checkpoint import ANSWERS, CheckpointError, MissingAnswer, describe, read_sae
from features.engine.sae.reading.fingerprint import checkpoint_hash, configs_hash, reading_hash
from tests.engine.sae.sae_files import D, H, K, four, normal, write


def saelens(folder, **settings):
    cfg = {
        "d_in": D,
        "d_sae": H,
        "architecture": "standard",
        "metadata": {"sae_lens_version": "6.0.0"},
    } | settings
    return write(folder, "sae_weights.safetensors", four(), cfg=cfg).parent


def test_a_bare_file_asks_for_the_pre_bias_and_says_so(tmp_path):
    path = write(tmp_path, "weights.pt", four())
    with pytest.raises(MissingAnswer, match="apply_b_dec_to_input: .*b_dec subtracted") as error:
        read_sae(path)
    assert [question.name for question in error.value.questions] == ["apply_b_dec_to_input"]


def test_all_that_is_missing_is_asked_at_once(tmp_path):
    path = write(tmp_path, "weights.pt", four())
    asked = [q.name for q in describe(path, answers={"activation": "topk"}).questions]
    assert asked == ["apply_b_dec_to_input", "normalize", "k", "model_name", "hook_point"]


def test_a_bare_file_offers_activation_and_input_norm_and_is_read_without_an_answer_to_these(tmp_path):
    path = write(tmp_path, "weights.pt", four())
    asked = {q.name: q for q in describe(path, answers={"apply_b_dec_to_input": True}).questions}
    assert not any(question.required for question in asked.values())
    assert asked["activation"].candidates[0] == "relu" and "abstopk" in asked["activation"].candidates
    assert asked["normalize"].candidates == ("none", "layer_norm", "constant_norm_rescale")
    assert asked["normalize"].text.endswith("none is taken where nothing is said.")
    config = read_sae(path, answers={"apply_b_dec_to_input": True}).config
    assert (config.activation, config.input_norm) == ("relu", "none")
    said = {"apply_b_dec_to_input": True, "normalize": "layer_norm"}
    assert read_sae(path, answers=said).config.input_norm == "layer_norm"


def test_a_missing_subject_is_asked_but_does_not_stand_in_the_way(tmp_path):
    path = write(tmp_path, "25.pt", four(), **{"25_cfg": {"d_mlp": D}})
    questions = {q.name: q for q in describe(path).questions}
    assert set(questions) == {"model_name", "hook_point"}
    assert not any(q.required for q in questions.values())
    assert "blocks.0.mlp.hook_post" in questions["hook_point"].candidates
    assert read_sae(path).config.hook_point is None


def test_answers_reach_the_config(tmp_path):
    given = {
        "model_name": "gelu-1l",
        "hook_point": "blocks.0.mlp.hook_post",
        "prepend_bos": True,
        "context_size": 128,
    }
    path = write(tmp_path, "25.pt", four(), **{"25_cfg": {"d_mlp": D}})
    config = read_sae(path, answers=given).config
    assert {name: getattr(config, name) for name in given} == given
    assert config.provenance["answers"] == given
    assert describe(path, answers=given).questions == ()


def test_the_users_name_for_a_subject_comes_before_the_files(tmp_path):
    folder = saelens(tmp_path, metadata={"sae_lens_version": "6.0.0", "model_name": "theirs", "hook_name": "x"})
    assert read_sae(folder).config.model_name == "theirs"
    assert read_sae(folder, answers={"model_name": "ours"}).config.model_name == "ours"


def test_a_formula_the_files_settle_is_not_overruled(tmp_path):
    folder = saelens(tmp_path, architecture="topk", k=K)
    with pytest.raises(CheckpointError, match=f"file says k = {K}, the answer says {K + 1}"):
        read_sae(folder, answers={"k": K + 1})
    assert read_sae(folder, answers={"k": K}).config.k == K


def test_answers_from_a_form_are_words(tmp_path):
    path = write(tmp_path, "weights.pt", four())
    sae = read_sae(path, answers={"apply_b_dec_to_input": "no", "activation": "topk", "k": "3", "model_name": ""})
    assert sae.config.k == 3 and torch.equal(sae.b_enc, four()["b_enc"])


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"colour": "red"}, "No layout asks for colour"),
        ({"k": "many"}, "k = 'many' is no whole number"),
        ({"k": 2.5}, "k = 2.5 is no whole number"),
        ({"threshold": "abc"}, "threshold = 'abc' is no number, nor one of k_on_average, file, per_token"),
        ({"activation": "jumprelu", "threshold": "file", "apply_b_dec_to_input": True}, "threshold = 'file' is no num"),
        ({"apply_b_dec_to_input": "perhaps"}, "'perhaps' is no yes or no"),
        ({"apply_b_dec_to_input": True, "activation": "swish"}, "'swish' is none of relu"),
        (
            {"apply_b_dec_to_input": True, "activation": "topk", "k": 1000},
            "1 to 24 features per token, not 1000",
        ),
    ],
)
def test_an_answer_that_means_nothing_is_refused(tmp_path, answers, words):
    with pytest.raises(CheckpointError, match=words):
        read_sae(write(tmp_path, "weights.pt", four()), answers=answers)


def test_every_question_is_one_that_can_be_answered(tmp_path):
    for activation in ("relu", "topk", "jumprelu"):
        path = write(tmp_path, "weights.pt", four())
        assert {q.name for q in describe(path, answers={"activation": activation}).questions} <= set(ANSWERS)


def test_a_path_may_be_a_string(tmp_path):
    folder = str(saelens(tmp_path))
    assert read_sae(folder).config.d_in == describe(folder).d_in == D


def test_describing_allocates_no_weights(tmp_path, monkeypatch):
    folder = saelens(tmp_path)
    monkeypatch.setattr(
        "features.engine.sae.reading.contents.CheckpointContents.tensor", lambda *_: pytest.fail("read a tensor")
    )
    told = describe(folder)
    assert told.bytes_needed == 4 * (2 * D * H + 2 * H + D)
    assert told.tensors["W_dec"] == (H, D) and told.weights.name == "sae_weights.safetensors"
    assert [file.name for file in told.configs] == ["cfg.json"]


def test_the_hash_is_that_of_the_weights_alone_wherever_they_lie(tmp_path):
    first, second = saelens(tmp_path / "a"), saelens(tmp_path / "b")
    weights = first / "sae_weights.safetensors"
    assert checkpoint_hash(first) == checkpoint_hash(second) == checkpoint_hash(weights) == checkpoint_hash(str(first))
    assert checkpoint_hash(first) == hashlib.sha256(weights.read_bytes()).hexdigest()
    (second / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": H, "architecture": "topk", "k": K}))
    (second / "notes.txt").write_text("not part of it")
    assert checkpoint_hash(first) == checkpoint_hash(second)
    third = write(tmp_path / "c", "sae_weights.safetensors", four() | {"b_dec": normal(D, seed=77)}).parent
    assert checkpoint_hash(first) != checkpoint_hash(third)


def test_how_weights_are_read_follows_configs_answers_and_hook_point(tmp_path):
    first, second = saelens(tmp_path / "a"), saelens(tmp_path / "b")
    (second / "notes.txt").write_text("not part of it")
    assert configs_hash(first) == configs_hash(second) == configs_hash(first / "sae_weights.safetensors")
    (second / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": H, "architecture": "topk", "k": K}))
    assert configs_hash(first) != configs_hash(second)
    readings = {
        reading_hash(*read) for read in (("a", "h", None), ("b", "h", None), ("a", "i", None), ("a", "h", {"k": 1}))
    }
    assert len(readings) == 4 and reading_hash("a", "h", {}) in readings
