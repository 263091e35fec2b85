"""SAEs made of two linear layers, encoder and decoder with a bias each, and no pre-bias.

Goodfire (encoder_linear, decoder_linear), DeepSeek-R1 and dictionary_learning's AutoEncoderNew (ReLU), Llama
Scope (JumpReLU). Llama Scope stores what was trained on activations scaled to length sqrt(d_in); here its
activations are in the model's own unit, as in the form its library runs: biases divided by that factor.
"""

from features.engine.sae.layouts import hook_names
from features.engine.sae.reading.answers import MEASURED, Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError, Transcoder
from features.engine.sae.reading.recipe import Matrix, Recipe, first, flag


def goodfire(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """None unless the layers are called encoder_linear and decoder_linear."""
    if not checkpoint.has("encoder_linear.weight", "decoder_linear.weight"):
        return None
    model, hook = hook_names.of_name(checkpoint.weights.stem)
    result = _two_layers("goodfire", "encoder_linear", "decoder_linear")
    result.subject = {"model_name": model, "hook_point": hook}
    return result


def plain(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """encoder and decoder with a bias each; Llama Scope where config or tensors have its threshold."""
    if not checkpoint.has("encoder.weight", "decoder.weight", "decoder.bias"):
        return None
    config = checkpoint.config("hyperparams.json", "config.json")
    if "jump_relu_threshold" in config or checkpoint.has("log_jumprelu_threshold"):
        return _llama_scope(checkpoint, answers, config)
    result = _two_layers("linear", "encoder", "decoder")
    trainer = config.get("trainer") if isinstance(config.get("trainer"), dict) else {}
    result.architecture = trainer.get("dict_class")
    result.stated = {"d_in": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    result.subject = {
        "model_name": trainer.get("lm_name"),
        "hook_point": hook_names.said(trainer)
        or hook_names.of_submodule(trainer.get("submodule_name"), trainer.get("layer"), None),
    }
    return result


def _llama_scope(checkpoint, answers, config):
    read = config.get("hook_point_in")
    written = config.get("hook_point_out", read)
    if written != read:
        raise Transcoder(checkpoint.path, f"a transcoder from {read} to {written}")
    result = _two_layers("llama-scope", "encoder", "decoder")
    result.activation, result.architecture = "jumprelu", config.get("act_fn", "jumprelu")
    result.pre_bias = "decoder.bias" if flag(config, "apply_decoder_bias_to_pre_encoder", False) else None
    result.subject = {"model_name": config.get("model_name"), "hook_point": read}
    result.stated = {"d_in": config.get("d_model"), "d_sae": config.get("d_sae")}
    norms = [name for name in checkpoint.shapes if name.startswith("dataset_average_activation_norm.")]
    result.ignored = tuple(norms)
    by_token = config.get("norm_activation") == "token-wise"
    result.input_norm = "constant_norm_rescale" if by_token else "none"
    result.bias_scale = 1.0 if by_token else _unit(checkpoint, answers, config, norms, result)
    # Either a threshold a feature that was learnt, or top-k that is still to become one, or one number for all.
    if checkpoint.has("log_jumprelu_threshold"):
        result.threshold, result.threshold_is_log = "log_jumprelu_threshold", True
    elif config.get("act_fn") == "topk" and not config["jump_relu_threshold"]:  # not yet made a JumpReLU
        result.activation, result.k = "topk", answers.resolve("k", config.get("top_k"), (50, 64, 100))
        result.rescale_by_decoder_norm = flag(config, "sparsity_include_decoder_norm", False)
    else:
        # This one threshold was set after training, in the model's own unit.
        result.threshold = config["jump_relu_threshold"]
        result.rescale_by_decoder_norm = flag(config, "sparsity_include_decoder_norm", False)
    return result


def _unit(checkpoint, answers, config, norms, result):
    """mean |activation| / sqrt(d_in): by this, stored biases become those for the model's own activations."""
    d_in = checkpoint.shapes["encoder.weight"][1]  # of [d_sae, d_in], as torch.nn.Linear stores it
    norm_activation = config.get("norm_activation", "dataset-wise")
    # "inference": the factor is folded into the stored weights already.
    if norm_activation in ("inference", "none"):
        return 1.0
    if norm_activation != "dataset-wise":
        raise CheckpointError(
            f"{checkpoint.path}: norm_activation {norm_activation} is none of dataset-wise, token-wise, none."
        )
    average = config.get("dataset_average_activation_norm") or {}
    place = first(config.get("hook_point_in"), "in")
    inside = f"dataset_average_activation_norm.{place}"
    norm = first(average.get("in"), average.get(place), checkpoint.number(inside) if inside in norms else None)
    if norm is not None:
        return norm / d_in**0.5
    text = "Activations were scaled in training, by sqrt(d_in) / mean |activation|. What was the factor?"
    factor = answers.resolve("scaling_factor", None, (MEASURED, 1.0), text)
    result.measures_scale = factor == MEASURED
    return 1.0 / (factor if isinstance(factor, float) else 1.0)


def _two_layers(name, encoder, decoder):
    return Recipe(
        name,
        encoder=Matrix(f"{encoder}.weight", True),  # [h, d]
        decoder=Matrix(f"{decoder}.weight", True),  # [d, h]
        encoder_bias=f"{encoder}.bias",
        decoder_bias=f"{decoder}.bias",
    )
