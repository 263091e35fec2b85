"""How is an SAE read that somebody else trained? `read_sae(path)`; `describe(path)` to look first.

Nothing in a checkpoint is executed. Adding a layout: a function (checkpoint, answers) -> Recipe | None in a
file of its own, and its place in LAYOUTS.
"""

from features.engine.prefixes import shared_prefixes
from features.engine.sae.description import SAEDescription
from features.engine.sae.layouts import (
    dictionary_learning,
    gemma_scope,
    hook_names,
    linear,
    neel,
    openai,
    saelens,
    saelens_pickle,
)
from features.engine.sae.layouts import sparsify as sparsify_layout
from features.engine.sae.reading.answers import ANSWERS, Answers
from features.engine.sae.reading.assemble import assemble
from features.engine.sae.reading.checks import (
    bytes_needed,
    check_held,
    check_scales,
    check_shapes,
    check_size,
    check_tensors,
    turn_to_fit,
)
from features.engine.sae.reading.contents import DEFAULT_MAX_BYTES, CheckpointContents
from features.engine.sae.reading.errors import CheckpointError, MissingAnswer, Question
from features.engine.sae.reading.fingerprint import checkpoint_hash
from features.engine.sae.reading.recipe import first
from features.engine.sae.sae import SAEConfig, SparseAutoencoder

__all__ = [
    "ANSWERS",
    "CheckpointError",
    "DEFAULT_MAX_BYTES",
    "SAEDescription",
    "MissingAnswer",
    "Question",
    "checkpoint_hash",
    "describe",
    "read_sae",
]

# Most telling tensor names first; the first that recognises a checkpoint reads it.
LAYOUTS = (
    openai.recipe,
    sparsify_layout.recipe,
    dictionary_learning.gated,
    linear.goodfire,
    dictionary_learning.linear,
    linear.plain,
    dictionary_learning.matryoshka,
    saelens_pickle.recipe,
    saelens.recipe,
    dictionary_learning.jumprelu,
    gemma_scope.first_release,
    neel.recipe,
    gemma_scope.second_release,
)
KNOWN = (
    "Neel Nanda 1L and Bussmann (W_enc, W_dec, b_enc, b_dec), SAELens (the same + cfg.json), "
    "dictionary_learning and OpenAI (encoder.weight, decoder.weight), sparsify (encoder.weight, W_dec), "
    "Gemma Scope (W_enc or w_enc with threshold), Goodfire (encoder_linear.weight), Llama Scope and DeepSeek "
    "(encoder.weight, decoder.bias)"
)


def read_sae(path, *, answers=None, max_bytes=DEFAULT_MAX_BYTES) -> SparseAutoencoder:
    """The SAE at `path`, a weight file or the folder it lies in, in float32 on the CPU.

    `answers` says what the files do not, under the names of ANSWERS; `describe(path).questions` lists them.
    Raises MissingAnswer where the formula is not settled without, CheckpointError where the files cannot be
    read as an SAE or its weights exceed `max_bytes`.
    """
    checkpoint, recipe, asked, (d_in, d_sae), subject = _inspect(path, answers, max_bytes)
    required = [question for question in asked.open if question.required]
    if required:
        raise MissingAnswer(path, required)
    try:
        config = SAEConfig(
            d_in,
            d_sae,
            activation=recipe.activation,
            k=recipe.k,
            input_norm=recipe.input_norm,
            rescale_by_decoder_norm=recipe.rescale_by_decoder_norm,
            format=recipe.format,
            dtype=checkpoint.dtypes[recipe.encoder.name],
            provenance=_provenance(checkpoint, recipe, asked),
            **subject,
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return assemble(checkpoint, recipe, config)


def describe(path, answers=None, max_bytes=DEFAULT_MAX_BYTES) -> SAEDescription:
    """What `read_sae` would read at `path` and what it would ask, from headers and configs alone.

    Raises CheckpointError as `read_sae` does, except for what only the numbers show (NaN).
    """
    checkpoint, recipe, asked, (d_in, d_sae), subject = _inspect(path, answers, max_bytes)
    return SAEDescription(
        format=recipe.format,
        d_in=d_in,
        d_sae=d_sae,
        activation=recipe.activation,
        k=recipe.k,
        input_norm=recipe.input_norm,
        subject=subject,
        architecture=recipe.architecture,
        dtype=checkpoint.dtypes[recipe.encoder.name],
        weights=checkpoint.weights,
        configs=tuple(checkpoint.config_files),
        tensors=dict(checkpoint.shapes),
        bytes_needed=bytes_needed(d_in, d_sae),
        questions=tuple(asked.open),
        notes=tuple(recipe.notes),
        in_files=_in_files(recipe),
        batch_topk=recipe.batch_topk,
        measures_scale=recipe.measures_scale,
    )


def _inspect(path, answers: dict | None, max_bytes: int):
    """(checkpoint, recipe, the answers and open questions, (d_in, d_sae), facts of the subject)."""
    checkpoint, asked = CheckpointContents(path, max_bytes), Answers(answers)
    try:
        checkpoint, recipe = _recognise(checkpoint, asked)
    except CheckpointError:
        raise
    except (TypeError, AttributeError, KeyError, ValueError, ArithmeticError) as error:  # what JSON may hold
        configs = ", ".join(checkpoint.configs) or "what lies beside the weights"
        raise CheckpointError(f"{path}: a setting in {configs} is of the wrong kind: {error!r}.") from error
    # Names before shapes, which are looked up by them; the size before `assemble` allocates any weight.
    check_tensors(checkpoint, recipe)
    check_scales(checkpoint, recipe)
    turn_to_fit(checkpoint, recipe)
    d_in, d_sae = check_shapes(checkpoint, recipe)
    check_size(checkpoint, d_in, d_sae)
    check_held(checkpoint)
    _center(checkpoint, recipe, asked)
    configs = " and ".join(checkpoint.configs) or "its tensors"
    asked.refuse_unused(recipe.format, _taken(recipe), f"by {configs}")
    # Files of these layouts may name no hook point; what is known are those of the one-layer SAEs.
    candidates = {"hook_point": [hook for hook in neel.HOOKS if recipe.format in ("neel", "bare")]}
    subject = asked.subject(recipe.subject, candidates)
    _name_hook(recipe, subject)
    return checkpoint, recipe, asked, (d_in, d_sae), subject


def _recognise(checkpoint, answers):
    """The checkpoint by the names of its layout, without a prefix that all of them have, and the layout's recipe."""
    for prefix in shared_prefixes(checkpoint.shapes):
        bare = checkpoint.without(prefix) if prefix else checkpoint
        for layout in LAYOUTS:
            recipe = layout(bare, answers)
            if recipe is not None:
                if prefix:
                    recipe.notes.append(f"All names of its tensors begin with “{prefix}”, which was taken off.")
                return bare, recipe
    names = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(checkpoint.shapes.items())[:20])
    raise CheckpointError(
        f"{checkpoint.weights} is of no layout known here. It holds: {names or 'no tensors'}. Known: {KNOWN}."
    )


def _name_hook(recipe, subject: dict) -> None:
    """A hook point that is named as a module of the model, under the name that is used here."""
    hook = hook_names.of_module(subject["hook_point"] or "")
    if hook and hook != subject["hook_point"]:
        recipe.notes.append(hook_names.note_on_module(subject["hook_point"]))
        subject["hook_point"] = hook


def _center(checkpoint, recipe, answers):
    """Whether the SAE read residual streams without their mean, which no layout says but SAELens's settings may."""
    if recipe.input_norm == "layer_norm":  # takes the mean out anyway
        return
    cfg = checkpoint.config("cfg.json")
    kwargs = first(
        (cfg.get("metadata") or {}).get("model_from_pretrained_kwargs"), cfg.get("model_from_pretrained_kwargs")
    )
    in_file = kwargs.get("center_writing_weights") if isinstance(kwargs, dict) else None
    if not answers.accept("center_writing_weights", in_file is True):
        return
    if recipe.input_norm != "none":
        raise CheckpointError(
            f"{checkpoint.path}: center_writing_weights together with {recipe.input_norm} is not read."
        )
    recipe.input_norm = "center"
    whose = "its files say" if in_file is True else "was answered"
    recipe.notes.append(
        f"The mean of each token's activations is taken out first (center_writing_weights), as {whose}."
    )


def _taken(recipe) -> dict:
    """What was read for each answer that no layout may have asked for."""
    taken = {"activation": recipe.activation, "normalize": recipe.input_norm, "scaling_factor": recipe.input_scale}
    taken |= {"apply_b_dec_to_input": recipe.pre_bias is not None}
    taken |= {"k": recipe.k} if recipe.k is not None else {}
    taken |= {"threshold": recipe.threshold} if isinstance(recipe.threshold, float) else {}
    return taken | ({"dict_class": recipe.architecture} if recipe.architecture else {})


def _in_files(recipe) -> dict:
    return {name: value for name, value in recipe.subject.items() if value is not None}


def _provenance(checkpoint, recipe, answers):
    return {
        "weights": checkpoint.weights.name,
        "configs": [file.name for file in checkpoint.config_files],
        "architecture": recipe.architecture,
        "answers": dict(answers.given),
        "notes": list(recipe.notes),
        "asked": sorted(answers.asked),
        "in_files": _in_files(recipe),
        "pre_bias": recipe.pre_bias is not None,
        "batch_topk": recipe.batch_topk,
        "measures_scale": recipe.measures_scale,
    }
