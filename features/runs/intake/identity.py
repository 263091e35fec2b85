"""Which run is a checkpoint of, and which step of it? Its configs but for the step, and where it lies."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.utils.text import slugify

from ...engine.foreign_files import Unreadable, read_json
from ...engine.sae.reading.files import weights_in
from ...models import SAE, Checkpoint, Corpus, Run
from . import discovery, fixed_rows

if TYPE_CHECKING:
    from ...engine.sae.checkpoint import SAEDescription

TOKEN_KEYS = ("n_training_samples", "n_training_tokens", "n_tokens_seen", "tokens_seen", "training_tokens_seen")
STEP_KEYS = ("step", "current_step", "global_step", "training_step", "n_training_steps", "iteration")
PLANNED = ("training_tokens", "total_training_tokens")  # of a whole training, and in some files of what was seen
NOT_OF_THE_RUN = {  # what may differ between checkpoints of one run
    *TOKEN_KEYS, *STEP_KEYS, *PLANNED, "dtype", "enc_dtype", "device", "scaling_factor", "threshold", "topk_threshold",
    "sae_lens_version", "sae_lens_training_version", "checkpoint_path", "path", "output_path", "run_name", "wandb_id",
    "wandb_name", "timestamp", "time", "date", "elapsed", "loss", "lr_now", "norm_factor", "sparsity",
}  # fmt: skip
MOST_KEYS = 500  # of a config that are looked at
Unit = Checkpoint.Unit


@dataclass(frozen=True)
class TrainingStep:
    """When in its run; None where nobody says it: then it is the state that is newest."""

    step: int | None
    unit: str
    note: str = ""


def step_of(path: Path, root: Path, description: "SAEDescription") -> TrainingStep:
    """From a config of this checkpoint alone, else from names, else from a config's total."""
    usual = Unit.TOKENS if description.format.startswith("saelens") else Unit.STEPS
    config = config_of(description.configs)
    if path.is_dir() or _is_alone(path, description.configs):  # a config beside it speaks of it alone
        for keys, unit in ((TOKEN_KEYS, Unit.TOKENS), (STEP_KEYS, Unit.STEPS)):
            if step := _first(config, keys):
                return TrainingStep(step, unit)
    if named := discovery.named_step(path, root):
        return TrainingStep(named.step, named.unit or usual)
    if path.is_dir() and (step := _first(config, PLANNED)):
        return TrainingStep(step, Unit.TOKENS, "No name says its step: that of its config's training_tokens is taken.")
    return TrainingStep(None, usual)


def _is_alone(path: Path, configs: tuple[Path, ...]) -> bool:
    """Whether no other weights lie beside a file, and a config does."""
    return weights_in(path.parent) == [path] and any(config.parent == path.parent for config in configs)


def _first(config: dict, keys: tuple[str, ...]) -> int | None:
    """Of a config whose keys are paths: the first of these names at any depth, where it holds a count."""
    for key in keys:
        for path, value in config.items():
            if path.split(".")[-1] == key and isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def config_of(files: tuple[Path, ...]) -> dict:
    """All settings in config files, nested ones by their path ("trainer.lr"); of equal paths the nearer file's."""
    found = {}
    for file in files:
        try:
            content = read_json(file)
        except (OSError, Unreadable):  # what reads the SAE says what is wrong with it
            continue
        for path, value in list(_leaves(content))[:MOST_KEYS]:
            found.setdefault(path, value)
    return found


def _leaves(content, path="") -> Iterator[tuple[str, object]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, str) and len(content) > 200:
        yield path, content[:200]
    else:
        yield path, content if isinstance(content, (str, int, float, bool, type(None))) else json.dumps(content)[:200]


def settings_of(config: dict) -> dict:
    """Of a config what is the same for all checkpoints of a run."""
    return {path: value for path, value in config.items() if path.split(".")[-1] not in NOT_OF_THE_RUN}


def run_of(checkpoint: Checkpoint, sae: SAE, description: "SAEDescription") -> Run:
    """The run that it belongs to, made where it is the first. In a transaction."""
    watch = checkpoint.watch
    path, root = Path(checkpoint.path), Path(watch.path)
    config = settings_of(config_of(description.configs))
    same = {
        "watch": watch,
        "folder": str(discovery.run_folder(path, root)),
        "model_path": sae.model_path,
        "hook_point": sae.hook_point,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "config_hash": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
    }
    if run := Run.objects.filter(**same).first():
        return run
    rows = fixed_rows.drawn_from(source_of(sae), sae.model_path)
    name = _name(same, root, config)
    return Run.objects.create(
        **same,
        slug=_free_slug(name),
        name=name,
        model_name=sae.model_name,
        config=config,
        corpus=source_of(sae),
        rows=rows,
    )


def source_of(sae: SAE) -> Corpus:
    """The corpus that rows are drawn from: that of its run where it has rows of one already."""
    run = Run.objects.filter(rows=sae.corpus).first()
    return run.corpus if run else sae.corpus


def _name(same: dict, root: Path, config: dict) -> str:
    """The folder's, and what tells it from other runs there."""
    folder = Path(same["folder"])
    name = root.name if folder == root else f"{root.name}/{folder.relative_to(root)}"
    others = same["watch"].runs.filter(folder=same["folder"])
    if others.exclude(hook_point=same["hook_point"]).exists():
        name = f"{name}, {same['hook_point']}"
    alike = others.filter(hook_point=same["hook_point"])
    if alike.exclude(d_in=same["d_in"], d_sae=same["d_sae"]).exists():
        name = f"{name}, {same['d_sae']:,} features"
    elif (told := alike.values_list("config", flat=True).first()) is not None:
        differ = [path for path in sorted({*told, *config}) if told.get(path) != config.get(path)]
        name = f"{name}, {differ[0].split('.')[-1]} {config.get(differ[0], 'not said')}" if differ else name
    return name if len(name) <= 200 else f"…{name[-199:]}"


def _free_slug(name: str) -> str:
    slug, number = slugify(name.replace("/", "-").replace(".", "-"))[:40].strip("-") or "run", 1
    taken = set(Run.objects.filter(slug__startswith=slug).values_list("slug", flat=True))
    while (found := slug if number == 1 else f"{slug}-{number}") in taken:
        number += 1
    return found


def differences(runs: list[Run]) -> dict[int, dict]:
    """Of each run (by pk) the settings in which it differs from another of them."""
    paths = {path for run in runs for path in run.config}
    telling = {path for path in paths if len({json.dumps(run.config.get(path)) for run in runs}) > 1}
    return {run.pk: {path: run.config.get(path) for path in sorted(telling)} for run in runs}
