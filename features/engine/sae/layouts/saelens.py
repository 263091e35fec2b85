"""SAEs saved by SAELens: cfg.json + sae_weights.safetensors, from version 1 on, finished or in mid-training.

Version 6 nests the subject under `metadata` and names the `architecture`; before, one flat config. Formulas:
sae_lens.saes.{standard,topk,jumprelu,gated,abstopk,batchtopk}_sae of version 6.54.12.
"""

from features.engine.sae.layouts import batch_topk
from features.engine.sae.reading.answers import MEASURED, Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError, Transcoder
from features.engine.sae.reading.recipe import Gate, Matrix, Recipe, first, flag, scale_input

TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
UNSUPPORTED = {
    "matching_pursuit": "chooses its features one after another, each from what the last left over",
    "temporal": "reads earlier tokens as well as the present one",
}
BATCH = ("batchtopk", "matryoshka_batchtopk")  # during training; finished ones are saved as jumprelu
TRAINING_KEYS = ("decoder_init_norm", "l1_coefficient", "l0_coefficient", "aux_loss_coefficient")
NORMS = {"none": "none", "layer_norm": "layer_norm", "constant_norm_rescale": "constant_norm_rescale"}
IGNORED = ("scaling_factor", "finetuning_scaling_factor")


def recipe(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """None where the files are not SAELens's. CheckpointError for architectures outside the formula."""
    cfg = checkpoint.config("cfg.json")
    if cfg.get("architecture") in TRANSCODERS:
        raise Transcoder(checkpoint.path, f"a SAELens SAE of architecture {cfg['architecture']}")
    if cfg.get("architecture") in UNSUPPORTED:
        raise CheckpointError(_refusal(checkpoint, cfg["architecture"]))
    if not checkpoint.has("W_enc", "W_dec"):
        return None
    if not ("d_in" in cfg and "d_sae" in cfg):
        if checkpoint.weights.name == "sae_weights.safetensors":
            raise CheckpointError(
                f"{checkpoint.weights} has no cfg.json beside it, which says its formula. Copy it too."
            )
        return None
    return from_config(checkpoint, answers, cfg)


def from_config(checkpoint: CheckpointContents, answers: Answers, cfg: dict) -> Recipe:
    """The recipe for a SAELens config (a dict of any version) and the tensors of `checkpoint`."""
    meta = cfg.get("metadata") or {}
    legacy = _is_legacy(cfg, meta)
    architecture = _architecture(checkpoint, cfg)
    result = Recipe(
        format=_format(checkpoint, cfg, legacy),
        encoder=Matrix("W_enc"),
        decoder=Matrix("W_dec"),
        decoder_bias="b_dec",
        pre_bias="b_dec" if flag(cfg, "apply_b_dec_to_input", True) else None,
        architecture=architecture,
        subject=_subject(cfg, meta, legacy),
        stated={"d_in": cfg.get("d_in"), "d_sae": cfg.get("d_sae")},
        ignored=IGNORED,
    )
    _activation(checkpoint, answers, cfg, result)
    _normalisation(checkpoint, answers, cfg, result)
    _finetuning(checkpoint, result)
    return result


def _activation(checkpoint, answers, cfg, result):
    kind = result.architecture
    if kind == "gated":
        result.activation, result.gate = "jumprelu", Gate("b_gate", "b_mag", "r_mag")
        result.notes.append("Gated, rewritten as JumpReLU with the same activations.")
        return
    # Of those read here only gated ones have no b_enc: each of their two paths has a bias of its own.
    result.encoder_bias = "b_enc"
    result.activation = "jumprelu" if kind in BATCH else {"standard": "relu", "tanh-relu": "tanh_relu"}.get(kind, kind)
    if kind in ("topk", "abstopk"):
        k = first(cfg.get("k"), (cfg.get("activation_fn_kwargs") or {}).get("k"))
        result.k = answers.resolve("k", k, (32, 64, 100))
    if kind == "jumprelu":
        result.threshold_is_log = checkpoint.has("log_threshold")
        result.threshold = "log_threshold" if result.threshold_is_log else "threshold"
    if kind in BATCH:
        # A file without it lacks a tensor of the formula: named later, as all others that are missing.
        stored = first(checkpoint.number("topk_threshold"), 0.0)
        batch_topk.choose(answers, result, "topk_threshold", stored, cfg.get("k"))
        if result.threshold == "topk_threshold":  # not another one, or k of each token, as was answered
            result.notes.append(f"{kind}: a feature is active above the threshold learnt so far, as in the saved SAE.")
        result.ignored += ("topk_threshold",)
    # Later trainers rescale unless told otherwise; finished SAEs and all before version 6 do not.
    training = kind in BATCH or result.format == "saelens-training"
    if kind in ("topk", "abstopk", *BATCH):
        result.rescale_by_decoder_norm = flag(cfg, "rescale_acts_by_decoder_norm", training)


def _normalisation(checkpoint, answers, cfg, result):
    norm = cfg.get("normalize_activations") or "none"
    # Before it had several kinds this setting was yes or no.
    norm = "expected_average_only_in" if norm is True else norm
    if norm == "expected_average_only_in":
        # Folded into the weights when training is finished; until then the factor lies in a file of its own.
        scaler = checkpoint.config("activation_scaler.json")
        if scaler:
            result.input_scale = float(first(scaler.get("scaling_factor"), 1.0))  # null: folded already
        else:
            text = (
                "Activations were scaled to an average length of sqrt(d_in) in training and the factor, "
                "sqrt(d_in) / mean |activation|, is in none of the files (1 if it was folded in since)?"
            )
            scale_input(result, answers.resolve("scaling_factor", None, (MEASURED, 1.0), text))
    elif norm in NORMS:
        result.input_norm = NORMS[norm]
    else:
        raise CheckpointError(
            f"{checkpoint.path}: normalize_activations = {norm} is not read. Let SAELens fold it: finish the "
            "training or save the SAE with save_inference_model."
        )


def _finetuning(checkpoint, result):
    for name in IGNORED:
        # All ones unless the SAE was fine-tuned; then it multiplies f in the decoder.
        if checkpoint.has(name) and not bool((checkpoint.tensor(name) == 1).all()):
            result.feature_scale = name
            result.notes.append("Fine-tuned scales multiply the decoder rows.")


def _is_legacy(cfg, meta):
    # Version 6 brought `metadata`; a config that states no version is older.
    version = str(first(cfg.get("sae_lens_version"), meta.get("sae_lens_version"), ""))
    return "metadata" not in cfg and not (version.split(".")[0].isdigit() and int(version.split(".")[0]) >= 6)


def _architecture(checkpoint, cfg):
    activation = first(cfg.get("activation_fn_str"), cfg.get("activation_fn"), "relu")
    architecture = cfg.get("architecture") or "standard"
    if checkpoint.has("topk_threshold") and architecture not in BATCH:
        return "batchtopk"  # the class of the trainer says more than the name in its config
    if activation not in ("relu", "topk", "tanh-relu"):
        raise CheckpointError(f"{checkpoint.path}: activation function {activation} is none of relu, tanh-relu, topk.")
    if architecture == "standard" and activation != "relu":
        return activation
    if architecture not in ("standard", "topk", "abstopk", "jumprelu", "gated", *BATCH):
        raise CheckpointError(_refusal(checkpoint, architecture))
    return architecture


def _format(checkpoint, cfg, legacy):
    if "activation_scaler.json" in checkpoint.configs:
        return "saelens-training"
    if legacy:
        return "saelens-legacy"
    return "saelens-training" if any(key in cfg for key in TRAINING_KEYS) else "saelens"


def _subject(cfg, meta, legacy):
    # hook_point and hook_point_head_index are the oldest names; old runs prepend BOS unless they say otherwise.
    both = {**cfg, **meta}
    return {
        "model_name": both.get("model_name"),
        "hook_point": first(both.get("hook_name"), both.get("hook_point")),
        "hook_head_index": first(both.get("hook_head_index"), both.get("hook_point_head_index")),
        "prepend_bos": first(both.get("prepend_bos"), True if legacy else None),
        "context_size": both.get("context_size"),
        "seqpos_slice": both.get("seqpos_slice"),  # positions whose activations were learnt
    }


def _refusal(checkpoint, architecture):
    reason = UNSUPPORTED.get(architecture, "is none of standard, topk, abstopk, jumprelu, gated, batchtopk")
    return f"{checkpoint.path}: a SAELens SAE of architecture {architecture} {reason}. It cannot be read here."
