"""The widths that a config promises are those of the loaded model."""

import json

import pytest

from features.engine.model import config as config_file
from features.engine.model import hook_points
from features.engine.model.language_model import load_model
from features.engine.sae.layouts import hook_names

from .. import small


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_config_promises_the_hook_points_that_the_model_has(tmp_path, n_layers):
    small.write_model(tmp_path, n_layers)
    assert hook_points.hook_widths(tmp_path) == load_model(tmp_path, "cpu").hook_points


@pytest.mark.parametrize(
    ("config", "mlp", "heads", "context"),
    [
        ({"n_layer": 2, "n_embd": 12, "n_head": 3, "n_inner": None, "n_positions": 64}, 48, 12, 64),
        ({"num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 2, "head_dim": 8,
          "intermediate_size": 30}, 30, 16, None),
        ({"text_config": {"num_hidden_layers": 2, "hidden_size": 12, "num_attention_heads": 2,
                          "intermediate_size": 30, "max_position_embeddings": 32}}, 30, 12, 32),
    ],
)  # fmt: skip
def test_families_of_models_are_read_by_their_own_names(tmp_path, config, mlp, heads, context):
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = hook_points.hook_widths(tmp_path)
    assert found["blocks.1.mlp.hook_post"] == mlp and found["blocks.0.attn.hook_z"] == heads
    assert found["blocks.0.hook_resid_post"] == 12 and config_file.context_length(tmp_path) == context
    assert list(found)[:2] == ["blocks.1.mlp.hook_post", "blocks.1.hook_mlp_out"]


def test_a_folder_that_is_no_model_promises_nothing(tmp_path):
    assert hook_points.hook_widths(tmp_path) == {}
    (tmp_path / "config.json").write_text("[1]")
    assert hook_points.hook_widths(tmp_path) == {}
    assert config_file.context_length(tmp_path) is None


def test_names_of_other_libraries_mean_hook_points_that_there_are():
    meant = {*hook_names.PLACES.values(), *hook_names.MODULES.values(), *hook_names.GEMMA_SCOPE_2.values()}
    assert meant <= set(hook_points.SITES)
