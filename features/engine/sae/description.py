"""What do an SAE's files say of it? Plain values, so that a process without torch can hold them."""

from dataclasses import dataclass, field
from pathlib import Path

from features.engine.sae.reading.errors import Question


@dataclass(frozen=True)
class SAEDescription:
    """What lies at a path, without its weights in memory."""

    format: str
    d_in: int
    d_sae: int
    activation: str
    k: int | None
    input_norm: str
    subject: dict  # model_name, hook_point, hook_head_index, prepend_bos, context_size; None where unknown
    architecture: str | None  # the layout's own word for its kind
    dtype: str  # as stored
    weights: Path
    configs: tuple[Path, ...]
    tensors: dict  # name -> shape
    bytes_needed: int  # of float32 weights in memory
    questions: tuple[Question, ...] = ()  # the required ones must be answered before `read_sae`
    notes: tuple[str, ...] = field(default=())
    in_files: dict = field(default_factory=dict)  # facts of the subject as the files say them, before any answer
    batch_topk: dict | None = None  # see reading/recipe.py
    measures_scale: bool = False  # likewise
