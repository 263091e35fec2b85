"""Dictionaries of the dictionary_learning library: ae.pt + config.json, finished or a backup.

Its classes share tensor names, so `trainer.dict_class` of the config decides where names do not. Formulas:
dictionary_learning.dictionary and .trainers.{top_k,batch_top_k,matryoshka_batch_top_k} of version 0.1.0.
"""

from features.engine.sae.layouts import batch_topk, hook_names
from features.engine.sae.reading.answers import Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.recipe import Gate, Matrix, Recipe, first

# Two torch.nn.Linear, stored [out, in]: encoder.weight [d_sae, d_in], decoder.weight [d_in, d_sae].
LINEAR = {
    "encoder": Matrix("encoder.weight", True),
    "decoder": Matrix("decoder.weight", True),
}
# Parameters of its own, in our orientation: W_enc [d_in, d_sae], W_dec [d_sae, d_in].
PLAIN = {"encoder": Matrix("W_enc"), "decoder": Matrix("W_dec")}
THRESHOLDED = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE")


def gated(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """GatedAutoEncoder: decoder_bias is subtracted first, gate_bias and mag_bias make the two paths."""
    if not checkpoint.has("gate_bias", "mag_bias", "r_mag", "encoder.weight", "decoder.weight"):
        return None
    gate = Gate("gate_bias", "mag_bias", "r_mag")
    result = Recipe("dictionary_learning", **LINEAR, pre_bias="decoder_bias", gate=gate, activation="jumprelu")
    result.notes.append("Gated, rewritten as JumpReLU with the same activations.")
    return _finish(checkpoint, result, "GatedAutoEncoder")


def linear(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """AutoEncoder (bias), AutoEncoderTopK and BatchTopKSAE (b_dec and k)."""
    if not checkpoint.has("encoder.weight", "decoder.weight"):
        return None
    # AutoEncoder's one bias of width d_in: subtracted in front of the encoder, added behind the decoder.
    if checkpoint.has("bias"):
        result = Recipe("dictionary_learning", **LINEAR, encoder_bias="encoder.bias", pre_bias="bias")
        return _finish(checkpoint, result, "AutoEncoder")
    # With a decoder.bias it is AutoEncoderNew, which has no pre-bias: `linear.plain` reads it.
    if not checkpoint.has("b_dec"):
        return None
    result = Recipe("dictionary_learning", **LINEAR, encoder_bias="encoder.bias", pre_bias="b_dec")
    in_file = _trainer(checkpoint).get("dict_class")
    in_file = in_file if in_file in ("AutoEncoderTopK", "BatchTopKSAE") else None
    text = "Trained as AutoEncoderTopK (k per token) or BatchTopKSAE (threshold)? Both store the same tensors."
    kind = answers.resolve("dict_class", in_file, ("BatchTopKSAE", "AutoEncoderTopK"), text)
    _choose(checkpoint, answers, result, kind)
    return _finish(checkpoint, result, kind)


def matryoshka(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """MatryoshkaBatchTopKSAE, all groups active."""
    if not checkpoint.has("W_enc", "W_dec", "group_sizes"):
        return None
    result = Recipe("dictionary_learning", **PLAIN, encoder_bias="b_enc", pre_bias="b_dec")
    _choose(checkpoint, answers, result, "MatryoshkaBatchTopKSAE")
    return _finish(checkpoint, result, "MatryoshkaBatchTopKSAE")


def jumprelu(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """JumpReluAutoEncoder: no pre-bias. Gemma Scope's .npz holds the same tensors with the same formula."""
    if not checkpoint.has("W_enc", "W_dec", "threshold") or checkpoint.weights.suffix == ".npz":
        return None
    # As .safetensors the same names are Gemma Scope's, unless a trainer's config lies beside them.
    if checkpoint.is_safetensors and not _trainer(checkpoint):
        return None
    result = Recipe("dictionary_learning", **PLAIN, encoder_bias="b_enc", decoder_bias="b_dec")
    result.activation, result.threshold = "jumprelu", "threshold"
    return _finish(checkpoint, result, "JumpReluAutoEncoder")


def _choose(checkpoint, answers, result, kind):
    """Per-token top-k, or the threshold that replaces top-k over a batch once it has been learnt."""
    in_file = first(checkpoint.number("k"), _trainer(checkpoint).get("k"))
    if kind in THRESHOLDED:
        # The trainers start it at -1 and learn it only after some steps.
        stored = checkpoint.number("threshold")
        batch_topk.choose(answers, result, None if stored is None else "threshold", stored, in_file)
    else:
        result.activation, result.k = "topk", answers.resolve("k", in_file, batch_topk.KS)


def _finish(checkpoint, result, kind):
    trainer, buffer = _trainer(checkpoint), _config(checkpoint).get("buffer") or {}
    # Training divides activations by norm_factor; only the finished ae.pt has biases in the model's own unit.
    factor = checkpoint.number("norm_factor")
    if checkpoint.values.get("wrapped_in") == "ae" and factor is not None:
        result.bias_scale = float(factor)
        result.notes.append(f"Backup in mid-training: biases and threshold multiplied by norm_factor = {factor:g}.")
    # Where one bias is subtracted from the input, the same is added to the output.
    result.decoder_bias = first(result.decoder_bias, result.pre_bias)
    result.architecture = kind
    result.stated = {"d_in": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    # Where k and threshold count they were read above; groups order the features in the training's loss alone.
    result.ignored = ("k", "threshold", "group_sizes")
    result.subject = {
        "model_name": trainer.get("lm_name"),
        "hook_point": hook_names.said(trainer)
        or hook_names.of_submodule(trainer.get("submodule_name"), trainer.get("layer"), buffer.get("io")),
        "context_size": buffer.get("ctx_len"),
    }
    return result


def _config(checkpoint):
    beside = checkpoint.config("config.json")
    inside = checkpoint.values.get("config")
    return beside or (inside if isinstance(inside, dict) else {})


def _trainer(checkpoint):
    config = _config(checkpoint)
    return config.get("trainer") if isinstance(config.get("trainer"), dict) else config
