"""Four bare tensors W_enc, W_dec, b_enc, b_dec: Neel Nanda's one-layer SAEs and what descends from them.

The tensors are the same in all; the config beside them decides: `sae_type` is Bussmann's BatchTopK code, a
config without it Neel's (ReLU, pre-bias b_dec), and no config at all means that the user is asked.
"""

from features.engine.model.hook_points import USUAL
from features.engine.sae.layouts import batch_topk
from features.engine.sae.reading.answers import Answers, checked_threshold
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.reading.recipe import Matrix, Recipe, first, flag, scale_input
from features.engine.sae.sae import ACTIVATIONS, CHOOSING, TOKEN_NORMS

SAE_TYPES = {"vanilla": "relu", "topk": "topk", "batchtopk": "jumprelu", "jumprelu": "jumprelu"}
SETTINGS = ("d_mlp", "dict_mult", "enc_dtype", "act_size", "dict_size")  # some of them tell his configs
BUFFERS = ("num_batches_not_active",)
HOOKS = [f"blocks.0.{site}" for site in USUAL[:3]]  # on which they usually were trained


def recipe(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """None unless W_enc and W_dec are there."""
    if not checkpoint.has("W_enc", "W_dec"):
        return None
    config = checkpoint.own_config() or checkpoint.config("config.json", "cfg.json")
    if "sae_type" in config:
        return _bussmann(checkpoint, answers, config)
    if any(key in config for key in SETTINGS):
        return _neel(config)
    return _bare(answers)


def _four(name, **more):
    return Recipe(
        name, Matrix("W_enc"), Matrix("W_dec"), encoder_bias="b_enc", decoder_bias="b_dec", ignored=BUFFERS, **more
    )


def _neel(config):
    result = _four("neel", pre_bias="b_dec", architecture="standard")
    # act_size and dict_size in newer configs, d_mlp and dict_mult in those of the published 25.pt and 47.pt.
    width = first(config.get("act_size"), config.get("d_mlp"))
    latents = first(config.get("dict_size"), _times(width, config.get("dict_mult")))
    result.stated = {"d_in": width, "d_sae": latents}
    result.subject = _subject(config)
    return result


def _bussmann(checkpoint, answers, config):
    kind = config["sae_type"]
    if kind not in SAE_TYPES:
        raise CheckpointError(f"{checkpoint.path}: sae_type {kind} is none of {', '.join(SAE_TYPES)}.")
    nonlinearity = config.get("activation", "relu")
    if nonlinearity != "relu" or flag(config, "tied_weights", False):
        raise CheckpointError(
            f"{checkpoint.path}: activation {nonlinearity}, tied_weights {config.get('tied_weights', False)}: "
            "only ReLU with a decoder of its own is read."
        )
    result = _four("bussmann", pre_bias=None if kind == "jumprelu" else "b_dec", architecture=kind)
    result.activation = SAE_TYPES[kind]
    # input_unit_norm is (x - mean) / (std + 1e-5) of each token: our layer_norm.
    result.input_norm = "layer_norm" if flag(config, "input_unit_norm", False) else "none"
    result.stated = {"d_in": config.get("act_size"), "d_sae": config.get("dict_size")}
    result.subject = _subject(config)
    if kind == "topk":
        result.k = answers.resolve("k", config.get("top_k"), (32, 50))
    if kind == "jumprelu":
        result.threshold, result.threshold_is_log = "jumprelu.log_threshold", True
    if kind == "batchtopk":
        _batch(answers, config, result)
    return result


def _batch(answers, config, result):
    """Top-k over a whole batch means nothing for one token, and no threshold was stored in its place."""
    text = (
        f"Trained to keep {config.get('top_k')} features per token on average over a batch. Above "
        "which value is a feature active (the mean smallest value kept)? 'k_on_average' takes the one "
        "above which that many are active on the text here, 'per_token' keeps that many of each token."
    )
    # Not answered: asked for. No recipe is complete without, though one per token serves to look at the files.
    answers.resolve("threshold", None, (batch_topk.ON_AVERAGE, batch_topk.PER_TOKEN), text)
    batch_topk.choose(answers, result, None, None, config.get("top_k"))


def _bare(answers):
    activation = answers.offer("activation", ACTIVATIONS)
    if activation not in ACTIVATIONS:
        raise CheckpointError(f"Activation {activation!r} is none of {', '.join(ACTIVATIONS)}.")
    text = "The file comes without a config. Is b_dec subtracted from the input before the encoder?"
    pre = answers.resolve("apply_b_dec_to_input", None, (True, False), text)
    result = _four("bare", pre_bias="b_dec" if pre else None)
    result.activation, result.architecture = activation, "unknown"
    result.input_norm = answers.offer("normalize", TOKEN_NORMS)
    scale_input(result, answers.accept("scaling_factor"))
    if activation in CHOOSING:
        result.k = answers.resolve("k", None, (32, 50, 100))
    if activation == "jumprelu":
        given = answers.resolve("threshold", None, (0.0,))
        result.threshold = None if given is None else checked_threshold(given)
    return result


def _subject(config):
    names = {"model_name": config.get("model_name"), "context_size": config.get("seq_len")}
    return {**names, "hook_point": first(config.get("hook_point"), config.get("act_name"))}


def _times(width, factor):
    return int(width * factor) if width and factor else None
