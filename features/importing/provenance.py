"""What was read, and what do the files say of it where that is something else? Kept with the SAE, shown on its page."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.foreign_files import in_bytes
from ..engine.model.config import context_length
from ..engine.model.vocabulary import Vocabulary
from ..engine.sae.layouts import hook_names
from ..storage.opened import description_of
from ..storage.verdicts import model_hash
from . import language_models
from .folders import sae_inside
from .request import chosen_sae

if TYPE_CHECKING:
    from ..engine.sae.description import SAEDescription


def of_model(model_path, vocabulary: Vocabulary) -> dict:
    """The language model by its hash, special tokens and longest context."""
    return {
        "model_hash": model_hash(model_path),
        "bos": _told(vocabulary.bos),
        "eos": _told(vocabulary.eos),
        "context": context_length(model_path),
    }


def of_import(subject, model_path, in_files: dict, notes, chosen) -> dict:
    """All that an import read. `in_files`: facts of model, place and training as the files say them; `chosen`: names of
    answers that were chosen on text."""
    read = subject.sae.config.provenance
    differs = differences(in_files, Path(model_path), subject.hook_point)
    # Of a place that was not read; where it differs is told beside it.
    untrue = {hook_names.note_on_module(differs["hook_point"])} if "hook_point" in differs else ()
    return of_model(model_path, subject.vocabulary) | {
        "differs": differs,
        "trained_context": in_files.get("context_size"),
        "trained_positions": in_files.get("seqpos_slice"),
        "notes": [*subject.verdict.notes, *(note for note in read.get("notes", ()) if note not in untrue), *notes],
        "chosen": list(chosen),
        "weights": read.get("weights", ""),
        "configs": read.get("configs", []),
    }


def differences(in_files: dict, model_path: Path, hook_point: str) -> dict:
    """What the files name in place of the model and the hook point that were read, by the name of the fact."""
    model, hook = in_files.get("model_name"), in_files.get("hook_point")
    differs = {}
    if model and not language_models.is_called(model_path, str(model)):
        differs["model_name"] = str(model)
    if hook and hook != hook_point and hook_names.of_module(str(hook)) != hook_point:
        differs["hook_point"] = str(hook)
    return differs


def described(request) -> "SAEDescription":
    """The files at a request's path, from headers and configs alone.

    Raises CheckpointError where they cannot be read as an SAE, Unanswered where they are several, Outside where one
    leads elsewhere.
    """
    request, path = chosen_sae(request.resolved())
    sae_inside(path)
    return description_of(path, request.answers)


def detected(told: "SAEDescription") -> list[tuple[str, str]]:
    """(name, value) of what such files are."""
    files = told.in_files
    rows = [
        ("Layout", f"{told.format}{f', {told.architecture}' if told.architecture else ''}"),
        ("Activation", f"{told.activation}{f', k = {told.k:,}' if told.k else ''}"),
        ("Size", f"{told.d_in:,} → {told.d_sae:,}, stored as {told.dtype}; {in_bytes(told.bytes_needed)} in memory"),
        ("Input norm", told.input_norm),
        ("Files", ", ".join([told.weights.name, *(config.name for config in told.configs)])),
        ("Model", f"the files name {files['model_name']}" if files.get("model_name") else "no file names it"),
        ("Hook point", f"the files name {files['hook_point']}" if files.get("hook_point") else "no file names it"),
    ]
    return rows + [("Note", note) for note in told.notes]


def name_of_sae(description, model_path: Path, hook_point: str) -> str:
    """As an SAE is shown where nobody gave it a name: by model, place, size and how far its training was."""
    parts = [language_models.name_of(model_path), hook_point, f"{description.d_sae:,} features"]
    return ", ".join([*parts, *filter(None, [trained_for(description.weights)])])[:200]


def trained_for(weights: Path) -> str:
    """How far training was as the path of a weight file tells: "step 6" of ae_6.pt, "10,000 samples" of SAELens's
    10000/sae_weights.safetensors; empty where it tells nothing."""
    for part in (weights.stem, weights.parent.name):
        if match := re.fullmatch(r"(?:ae|step|checkpoint|ckpt|iter)[_-]?(\d{1,15})", part):
            return f"step {int(match[1]):,}"
    if weights.name == "sae_weights.safetensors" and re.fullmatch(r"\d{1,15}", weights.parent.name):
        return f"{int(weights.parent.name):,} samples"
    return ""


def _told(token) -> dict | None:
    """{"text", "id", "said"} of a special token; without an id where there is none."""
    return {"text": token.text, "id": token.id, "said": token.said}
