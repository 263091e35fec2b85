"""Do the weights in a folder fit transformers' class? Missing, left-over and wrongly shaped ones are named.

transformers fills in random numbers for weights that it misses, another model in each process, and drops those that it
does not know. Here both are refused, apart from what is tied to another weight, from constants of code, and from what
transformers' class itself ignores.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..prefixes import shared_prefixes, without_prefix
from .config import ModelError
from .tl_layout import listed

# Masks and rotary frequencies that earlier versions of transformers stored with the weights.
CONSTANTS = re.compile(
    r"(^|\.)(attn|attention|self_attn|self_attention)\.(bias|masked_bias)$|\.inv_freq$|(cos|sin)_cached$|position_ids$"
)


@dataclass
class HuggingFaceWeights:
    """Loads a model with transformers' own class; stands in for that class where transformer_lens asks it to load.

    `ids` [n, seq], where given, go through the model before anything hangs on it: `logits` [n, seq, d_vocab] are what
    transformers computes. `notes` are sentences on what was done to have the weights.
    """

    model_class: type
    ids: Tensor | None = None
    logits: Tensor | None = None
    notes: list[str] = field(default_factory=list)

    def from_pretrained(self, folder, **options):
        """The model. Raises ModelError."""
        model, report = self._load(folder, options)
        if _faults(report):
            prefixes = shared_prefixes(_names(report["unexpected_keys"]))
            model, report, prefix = self._without_prefix(folder, options, prefixes) or (model, report, "")
            if faults := _faults(report):
                same = f" All of these begin with `{prefixes[-1]}`." if prefixes[1:] else ""
                name = type(model).__name__
                raise ModelError(
                    f"The weights in {folder} do not fit transformers' {name}: {'; '.join(faults)}.{same} A model with "
                    "some weights missing or unused would show figures of another model. Is config.json that of these "
                    "weights?"
                )
            self.notes.append(f"All names of its weights begin with `{prefix}`, which was taken off.")
        elif prefix := _prefix_that_was_taken_off(folder, model):
            self.notes.append(f"All names of its weights begin with `{prefix}`, which was taken off.")
        if ignored := _ignored(folder, model):
            self.notes.append(f"transformers' {type(model).__name__} does not use {listed(ignored)}.")
        if self.ids is not None:
            # A tokenizer may have more tokens than its model: whether it fits is asked when both are there.
            self.ids = self.ids % model.get_input_embeddings().weight.shape[0]
            with torch.no_grad():
                self.logits = model.eval()(self.ids.to(model.device)).logits.float().cpu()
        return model

    def _load(self, folder, options: dict, prefix: str = ""):
        mapping = {"key_mapping": {f"^{re.escape(prefix)}": ""}} if prefix else {}
        # Wrong shapes are reported with the rest, instead of transformers' advice to ignore them.
        return self.model_class.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **mapping, **options
        )

    def _without_prefix(self, folder, options: dict, prefixes: list[str]):
        """(model, report, prefix) for the first prefix without which all weights fit; None without any."""
        for prefix in prefixes[1:]:
            model, report = self._load(folder, options, prefix)
            if not _faults(report):
                return model, report, prefix
        return None


def _prefix_that_was_taken_off(folder, model) -> str:
    """A prefix of all names in the files that transformers took off by itself, as it does with that of a base model."""
    names, own = stored_names(folder), model.state_dict().keys()
    if own & set(names):
        return ""
    return next((p for p in shared_prefixes(names) if without_prefix(dict.fromkeys(names), p).keys() <= own), "")


def _faults(report: dict) -> list[str]:
    left = [name for name in _names(report["unexpected_keys"]) if not CONSTANTS.search(name)]
    wrong = [f"{name} is {list(has)} instead of {list(wants)}" for name, has, wants in report["mismatched_keys"]]
    return [
        *([f"missing {listed(report['missing_keys'])}"] if report["missing_keys"] else []),
        *([f"left over {listed(left)}"] if left else []),
        *sorted(wrong)[:4],
        *map(str, report["error_msgs"]),
    ]


def _names(keys) -> list[str]:
    return sorted(map(str, keys))


def _ignored(folder, model) -> list[str]:
    """Names in the files that transformers' class drops without a report."""
    patterns = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or []
    used = model.state_dict().keys()
    return [
        name
        for name in stored_names(folder)
        if any(re.search(pattern, name) for pattern in patterns)
        # A file of the model without its head leaves the base model's name out.
        and not {name, f"{model.base_model_prefix}.{name}"} & used
        and not CONSTANTS.search(name)
    ]


def stored_names(folder) -> list[str]:
    """Names of the tensors in a folder's safetensors files."""
    from safetensors import safe_open

    names = []
    for path in sorted(file for file in Path(folder).glob("*.safetensors") if file.is_file()):
        with safe_open(str(path), "pt") as file:
            names += file.keys()
    return names
