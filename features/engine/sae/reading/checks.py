"""Do the tensors of a checkpoint fit its recipe? Asked of names, types and shapes, before any is read."""

import math
from dataclasses import replace

from features.engine.foreign_files import in_bytes
from features.engine.sae.reading.containers import FLOATS
from features.engine.sae.reading.errors import CheckpointError


def bytes_needed(d_in, d_sae):
    """Memory of the float32 weights of an SAE, threshold included."""
    return 4 * (2 * d_in * d_sae + 2 * d_sae + d_in)


def turn_to_fit(checkpoint, recipe):
    """Turn a matrix of the recipe that lies the other way round than its layout has it, and say so in the notes.

    Biases and configs say which side of a matrix is which; a square one, or one that nothing speaks of, stays as it is.
    """
    d_in, d_sae = _stated_widths(checkpoint, recipe)
    for field, first, second in (("encoder", d_in, d_sae), ("decoder", d_sae, d_in)):
        matrix = getattr(recipe, field)
        shape = matrix.shape(checkpoint.shapes)
        if len(shape) != 2 or shape[0] == shape[1]:
            continue
        fits = all(side in (None, has) for side, has in zip((first, second), shape, strict=True))
        fits_turned = (first or second) and all(
            side in (None, has) for side, has in zip((first, second), shape[::-1], strict=True)
        )
        if not fits and fits_turned:
            setattr(recipe, field, replace(matrix, transposed=not matrix.transposed))
            stored = list(checkpoint.shapes[matrix.name])
            recipe.notes.append(f"{matrix.name} {stored} lies the other way round than its layout has it: turned.")


def _stated_widths(checkpoint, recipe):
    """(d_in, d_sae) by the biases, else by the config; None where nothing says it."""
    # Of a vector the number of its values, [n] or [1, n]; one value alone stands for all features.
    lengths = {name: math.prod(shape) for name, shape in checkpoint.shapes.items() if len(shape) <= 2}
    wide = [recipe.encoder_bias, recipe.gate and recipe.gate.gate_bias]
    narrow = [recipe.decoder_bias, recipe.pre_bias]
    d_in = next((lengths[name] for name in narrow if name in lengths), recipe.stated.get("d_in"))
    d_sae = next((lengths[name] for name in wide if name in lengths), recipe.stated.get("d_sae"))
    return d_in, d_sae


def check_shapes(checkpoint, recipe):
    """(d_in, d_sae), or CheckpointError naming the two numbers that disagree."""
    shapes = checkpoint.shapes
    for matrix in (recipe.encoder, recipe.decoder):
        if len(shapes[matrix.name]) != 2:
            raise _mismatch(checkpoint, matrix.name, shapes[matrix.name], "a matrix was expected")
    d_in, d_sae = recipe.encoder.shape(shapes)
    if recipe.decoder.shape(shapes) != (d_sae, d_in):
        expected = f"{recipe.encoder.name} {list(shapes[recipe.encoder.name])} calls for its transpose"
        raise _mismatch(checkpoint, recipe.decoder.name, shapes[recipe.decoder.name], expected)
    for name, width in _widths(recipe, d_in, d_sae).items():
        # BatchTopK and Llama Scope store one threshold for all features.
        one_for_all = name == recipe.threshold and shapes[name] in ((), (1,))
        if shapes[name] not in ((width,), (1, width)) and not one_for_all:
            raise _mismatch(checkpoint, name, shapes[name], f"{width:,} values were expected")
    for key, held in (("d_in", d_in), ("d_sae", d_sae)):
        stated = recipe.stated.get(key)
        if stated is not None and stated != held:
            raise CheckpointError(
                f"{checkpoint.path}: the config says {key} = {stated}, the weights say {held}. "
                "Config and weights of two different SAEs? Put each beside its own."
            )
    return d_in, d_sae


def check_tensors(checkpoint, recipe):
    """CheckpointError where a tensor of the formula is missing, or one is left over that may matter."""
    needed = set(recipe.tensors())
    missing = sorted(needed - set(checkpoint.shapes))
    if missing:
        raise CheckpointError(
            f"{checkpoint.weights}: a {recipe.format} SAE needs {', '.join(missing)}; the file holds "
            f"{', '.join(sorted(checkpoint.shapes))}. Half written, or of another kind?"
        )
    unused = sorted(set(checkpoint.shapes) - needed - set(recipe.ignored))
    if unused:
        raise CheckpointError(
            f"{checkpoint.weights} was taken for {recipe.format}, which has no {', '.join(unused)}. "
            "Loading it without could give wrong numbers; if the formula does not need them, save it without."
        )
    not_floats = sorted(name for name in needed if checkpoint.dtypes[name] not in FLOATS.values())
    if not_floats:
        kinds = ", ".join(f"{name} ({checkpoint.dtypes[name]})" for name in not_floats)
        raise CheckpointError(f"{checkpoint.weights}: {kinds}: weights of 16, 32 or 64 bit floats are read.")


def check_scales(checkpoint, recipe):
    """CheckpointError where a factor that configs or answers give would empty or blow up the weights."""
    for name, value in (("scaling factor", recipe.input_scale), ("norm factor", recipe.bias_scale)):
        if not (math.isfinite(value) and value > 0):
            raise CheckpointError(f"{checkpoint.path}: {name} {value} is no positive number.")
    if isinstance(recipe.threshold, float | int) and not math.isfinite(recipe.threshold):
        raise CheckpointError(f"{checkpoint.path}: threshold {recipe.threshold} is no number.")


def check_size(checkpoint, d_in, d_sae):
    """CheckpointError, before anything is allocated, where the weights exceed the limit."""
    size = bytes_needed(d_in, d_sae)
    if size > checkpoint.max_bytes:
        raise CheckpointError(
            f"{checkpoint.path}: {d_in:,} x {d_sae:,} weights take {in_bytes(size)} as float32, more than "
            f"the {in_bytes(checkpoint.max_bytes)} allowed. Raise the limit (max_bytes) if there is memory."
        )


def check_held(checkpoint):
    """CheckpointError where a tensor claims more numbers than the file holds: read, it takes as much as it claims."""
    for name, held in checkpoint.held.items():
        claimed = " x ".join(f"{n:,}" for n in checkpoint.shapes[name])
        raise CheckpointError(
            f"{checkpoint.weights}: {name} claims {claimed} numbers, and the file holds {in_bytes(held)} of them. If "
            "one number is meant to stand for many, save it as contiguous()."
        )


def _widths(recipe, d_in, d_sae):
    wide = [recipe.encoder_bias, recipe.feature_scale]
    wide += [recipe.threshold if isinstance(recipe.threshold, str) else None]
    if recipe.gate:
        wide += [recipe.gate.gate_bias, recipe.gate.magnitude_bias, recipe.gate.log_scale]
    narrow = [recipe.decoder_bias, recipe.pre_bias]
    return {n: d_sae for n in wide if n} | {n: d_in for n in narrow if n}


def _mismatch(checkpoint, name, shape, expected):
    return CheckpointError(
        f"{checkpoint.weights}: {name} has shape {list(shape)}, {expected}. Tensors of different SAEs in one file?"
    )
