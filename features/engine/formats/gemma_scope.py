"""Gemma Scope 1 (params.npz) and 2 (params.safetensors): JumpReLU without a pre-bias (arXiv:2408.05147)."""

from features.engine.formats import hooks
from features.engine.formats.errors import CheckpointError
from features.engine.formats.recipe import Matrix, Recipe, first


def first_release(checkpoint, answers):
    """W_enc, W_dec, b_enc, b_dec, threshold in an .npz or .safetensors without a config of another layout."""
    if not checkpoint.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold"):
        return None
    model, hook = hooks.of_gemma_scope(checkpoint.weights.absolute())
    result = _jumprelu("gemma-scope", "W_enc", "W_dec")
    result.subject = {"model_name": model, "hook_point": hook}
    if hook == "hook_embed":
        # Trained on rows of the embedding; the model, and with it hook_embed, multiplies them by sqrt(d_in).
        result.input_scale = checkpoint.shapes["W_enc"][0] ** -0.5
        result.notes.append("Embedding SAE: input scale 1 / sqrt(d_in) folded in.")
    return result


def second_release(checkpoint, answers):
    """The same under lower-case names. CheckpointError for its transcoders."""
    if not checkpoint.has("w_enc", "w_dec"):
        return None
    config = checkpoint.config("config.json")
    if len(checkpoint.shapes["w_dec"]) != 2 or "affine_skip_connection" in checkpoint.shapes or _transcodes(config):
        raise CheckpointError(
            f"{checkpoint.path}: a Gemma Scope 2 transcoder predicts another place of the model than it "
            "reads, so it has no reconstruction error. Only autoencoders are read here."
        )
    result = _jumprelu("gemma-scope-2", "w_enc", "w_dec")
    hook = hooks.of_module(str(config.get("hf_hook_point_in", "")).removesuffix(".output"))
    result.subject = {"model_name": config.get("model_name"), "hook_point": hook}
    return result


def _jumprelu(name, encoder, decoder):
    result = Recipe(name, Matrix(encoder), Matrix(decoder), encoder_bias="b_enc", decoder_bias="b_dec")
    result.activation, result.threshold, result.architecture = "jumprelu", "threshold", "jumprelu"
    return result


def _transcodes(config):
    out = first(config.get("hf_hook_point_out"), config.get("hf_hook_point_in"))
    return out != config.get("hf_hook_point_in")
