"""What does a layout say of its tensors? Their names, which way round they lie, which formula they serve."""

from dataclasses import dataclass, field

from features.engine.sae.reading.errors import CheckpointError


@dataclass(frozen=True)
class Matrix:
    """A weight matrix by name; `transposed` where it lies the other way round than ours."""

    name: str
    transposed: bool = False

    def shape(self, shapes):
        shape = tuple(shapes[self.name])
        return shape[::-1] if self.transposed else shape


@dataclass(frozen=True)
class Gate:
    """Tensor names of a gated SAE: gate p + gate_bias > 0, magnitude p * exp(log_scale) + magnitude_bias."""

    gate_bias: str
    magnitude_bias: str
    log_scale: str


@dataclass
class Recipe:
    """x = input_scale * norm(h); p = (x - pre_bias) @ encoder + encoder_bias; f = act(p); the way back alike.

    Fields that name tensors hold None where the layout has no such tensor. `assemble` folds them all.
    """

    format: str
    encoder: Matrix  # ours: [d_in, d_sae]
    decoder: Matrix  # ours: [d_sae, d_in]
    encoder_bias: str | None = None
    decoder_bias: str | None = None
    pre_bias: str | None = None
    activation: str = "relu"
    k: int | None = None
    threshold: str | float | None = None  # a tensor's name (one value or d_sae), or a value in the unit of f
    threshold_is_log: bool = False
    gate: Gate | None = None
    bias_scale: float = 1.0  # biases and threshold were stored for activations divided by this
    input_scale: float = 1.0  # input was multiplied by this in training, and the output divided
    feature_scale: str | None = None  # multiplies f in the decoder only
    rescale_by_decoder_norm: bool = False  # act sees p * |W_dec[i]|, the decoder divides it out again
    input_norm: str = "none"
    batch_topk: dict | None = None  # k, the file's threshold, and "settled": whether an answer says which one counts
    measures_scale: bool = False  # the input scale is to be found on text, and is 1 until then
    architecture: str | None = None  # the layout's own word
    subject: dict = field(default_factory=dict)  # what the files say under the names of SUBJECT
    stated: dict = field(default_factory=dict)  # d_in, d_sae as configs say, held against the tensors
    ignored: tuple = ()  # tensors that serve training only
    notes: list = field(default_factory=list)  # sentences for the reader

    def tensors(self):
        """Names of the tensors the formula needs."""
        names = [self.encoder.name, self.decoder.name, self.encoder_bias, self.decoder_bias, self.pre_bias]
        names += [self.threshold if isinstance(self.threshold, str) else None, self.feature_scale]
        if self.gate:
            names += [self.gate.gate_bias, self.gate.magnitude_bias, self.gate.log_scale]
        return list(dict.fromkeys(name for name in names if name))


def scale_input(recipe: Recipe, factor: float | str | None) -> None:
    """Take over an answered scaling factor: a number, or the word for one that is found on text; None is 1."""
    recipe.measures_scale = isinstance(factor, str)
    recipe.input_scale = factor if isinstance(factor, float) else 1.0


def flag(config, name, default):
    """A yes-or-no setting; the default where it is missing or null, CheckpointError for all else."""
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise CheckpointError(f"A config says {name} = {value!r}, neither true nor false.")
    return value


def first(*values):
    """The first value that is there; what several configs say of one thing, most trusted first."""
    return next((value for value in values if value is not None), None)
