"""Which prefix do the names of all tensors of a file share? Wrappers leave one.

torch.compile leaves `_orig_mod.`, DistributedDataParallel `module.`, a module of one's own the name it gave: `sae.`,
`model.`. Whether a prefix belongs to the names only those can tell who know which names they want: they take the first
one of `shared_prefixes` without which the names fit.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")


def shared_prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes of whole parts, each with its dot, that all names begin with and something follows: "" first.

    ["", "module.", "module._orig_mod."] of "module._orig_mod.a.weight" and "module._orig_mod.b".
    """
    parts = [name.split(".") for name in names]
    prefixes = [""]
    # The last part of a name is the tensor's own and stays.
    for column in zip(*(name[:-1] for name in parts), strict=False):
        if len(set(column)) > 1:
            break
        prefixes.append(f"{prefixes[-1]}{column[0]}.")
    return prefixes


def without_prefix(tensors: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The same values by their names without a prefix that all of them begin with."""
    return {name.removeprefix(prefix): value for name, value in tensors.items()}
