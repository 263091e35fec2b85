"""OpenAI's autoencoders for GPT-2 small: <location>/autoencoders/<layer>.pt (sparse_autoencoder.model).

Versions 1 and 4 are ReLU; version 5 keeps the k largest and normalises each input to mean 0 and deviation 1, which no
file says. Files of other trainers with this class may do neither, so the norm is offered as a question. A tied decoder
is the encoder, not stored twice.
"""

from features.engine.sae.layouts import hook_names
from features.engine.sae.reading.answers import Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.recipe import Matrix, Recipe, first

STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
SIMPLE = {"ReLU": "relu", "Identity": "identity"}
TOPK = {"ReLU": "topk", "Identity": "signed_topk"}  # what is done to the values kept


def recipe(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """None unless pre_bias and latent_bias are there."""
    if not checkpoint.has("pre_bias", "latent_bias", "encoder.weight"):
        return None
    # A file that names no activation is of a ReLU SAE.
    activation = checkpoint.values.get("activation", "ReLU")
    # A tied decoder is encoder.weight.T; as stored, [d_sae, d_in], it lies as our W_dec does.
    tied = not checkpoint.has("decoder.weight")
    result = Recipe(
        "openai",
        encoder=Matrix("encoder.weight", True),  # [h, d]
        decoder=Matrix("encoder.weight") if tied else Matrix("decoder.weight", True),  # [d, h]
        encoder_bias="latent_bias",
        decoder_bias="pre_bias",
        pre_bias="pre_bias",
        architecture=str(activation),
        subject={
            "model_name": "gpt2-small" if _is_gpt2(checkpoint) else None,
            "hook_point": _hook(checkpoint),
        },
        ignored=(*STATISTICS, "decoder.linear.weight"),
    )
    _activation(checkpoint, answers, activation, result)
    return result


def _activation(checkpoint, answers, activation, result):
    state = checkpoint.values.get("activation_state_dict") or {}
    usual = ("layer_norm", "none") if activation == "TopK" else ("none", "layer_norm")
    result.input_norm = answers.offer("normalize", usual)
    if "normalize" not in answers.given:
        result.notes.append(
            f"Input norm {result.input_norm}: no file says it, and OpenAI's {activation} autoencoders have it so. The "
            f"answer normalize={usual[1]} reads it otherwise."
        )
    if activation in SIMPLE:
        result.activation = SIMPLE[activation]
        return
    after = first(state.get("postact_fn"), checkpoint.values.get("activation.postact_fn"), "ReLU")
    if activation != "TopK" or after not in TOPK:
        raise CheckpointError(f"{checkpoint.path}: activation {activation} / {after} is none of ReLU, Identity, TopK.")
    result.activation = TOPK[after]
    result.k = answers.resolve("k", first(state.get("k"), checkpoint.number("activation.k")), (32,))


def _hook(checkpoint):
    return hook_names.of_location(checkpoint.weights.absolute())


def _is_gpt2(checkpoint):
    return "gpt2-small" in checkpoint.weights.absolute().parts
