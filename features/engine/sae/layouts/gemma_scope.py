"""Gemma Scope 1 (params.npz) and 2 (params.safetensors): JumpReLU without a pre-bias (arXiv:2408.05147)."""

import re

from features.engine.sae.layouts import hook_names
from features.engine.sae.reading.answers import Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import Transcoder
from features.engine.sae.reading.npz import is_npz
from features.engine.sae.reading.recipe import Matrix, Recipe, first


def first_release(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """W_enc, W_dec, b_enc, b_dec, threshold in an .npz or .safetensors without a config of another layout."""
    if not checkpoint.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        return None
    model, hook = hook_names.of_gemma_scope(checkpoint.weights.absolute())
    result = _jumprelu("gemma-scope", "W_enc", "W_dec")
    result.subject = {"model_name": model, "hook_point": hook}
    if hook == "hook_embed":
        # Trained on rows of the embedding; the model, and with it hook_embed, multiplies them by sqrt(d_in).
        result.input_scale = checkpoint.shapes["W_enc"][0] ** -0.5
        result.notes.append("Embedding SAE: input scale 1 / sqrt(d_in) folded in.")
    return result


def second_release(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """The same under lower-case names. Transcoder for transcoders, those of the first release included."""
    if not checkpoint.has("w_enc", "w_dec"):
        return None
    config = checkpoint.config("config.json")
    # A crosscoder writes to several layers: its w_dec has a dimension more.
    if len(checkpoint.shapes["w_dec"]) != 2 or "affine_skip_connection" in checkpoint.shapes or _transcodes(checkpoint):
        raise Transcoder(checkpoint.path, "a transcoder of Gemma Scope")
    result = _jumprelu("gemma-scope-2", "w_enc", "w_dec")
    model, hook = hook_names.of_gemma_scope_2(config.get("hf_hook_point_in"), checkpoint.weights.absolute())
    result.subject = {"model_name": first(config.get("model_name"), model), "hook_point": hook}
    return result


def _jumprelu(name, encoder, decoder):
    result = Recipe(name, Matrix(encoder), Matrix(decoder), encoder_bias="b_enc", decoder_bias="b_dec")
    result.activation, result.threshold, result.architecture = "jumprelu", "threshold", "jumprelu"
    return result


def _transcodes(checkpoint):
    """By its config, by its folder, or by the container: as .npz, only transcoders have such names."""
    config, folders = checkpoint.config("config.json"), checkpoint.weights.absolute().parts
    transcoder = re.compile(r"(clt|crosscoder|transcoder)(_all)?|gemma-scope.*-transcoders")
    if any(transcoder.fullmatch(folder) for folder in folders) or is_npz(checkpoint.weights):
        return True
    out = first(config.get("hf_hook_point_out"), config.get("hf_hook_point_in"))
    return out != config.get("hf_hook_point_in")
