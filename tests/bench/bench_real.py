"""Real models and SAEs of other libraries: what we compute of a pair, beside what its own library does.

`python -m tests.bench real FOLDER`: each folder in it with a pair.json names a library (of tests/bench/peers), a model,
a module of transformers and our hook point, an SAE and rows of tokens. The SAE is imported as a user would, with
nothing but the model named; then activations, explained variance and three losses on the rows are computed both ways.
`python -m tests.bench.real_model FOLDER` makes such a folder. Only with a folder; it takes minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from features.engine.encoder.encoder import Encoder
from features.engine.subject import Subject
from features.engine.weights import summary
from tests.bench.peer_environments import python_of

PROGRAMS = Path(__file__).parent / "peers"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Figures:
    """Of an SAE on the counted tokens of some rows."""

    acts: torch.Tensor  # [tokens, d_sae]
    explained_variance: float
    losses: np.ndarray  # clean, reconstructed, zero-ablated; nats a token


def main(folder: str = ""):
    pairs = sorted(Path(folder).glob("*/pair.json")) if folder else []
    if not pairs:
        print("  left out: name a folder of pairs, as `python -m tests.bench.real_model FOLDER` makes one")
    for path in pairs:
        compare(path.parent, json.loads(path.read_text()))


def compare(folder: Path, pair: dict) -> None:
    model, rows = (folder / pair["model"]).resolve(), np.load(folder / pair["rows"])
    print(f"  {pair['library']}: {model.name}, {pair['module']}, {rows.size:,} tokens", flush=True)
    said, seconds = imported(folder / pair["sae"], model)
    for line in said:
        print(f"    import: {line}")
    print(f"    import: {seconds:.0f} s in all", flush=True)
    for line in differences(ours(pair, folder, model, rows), theirs(pair, folder, model)):
        print(f"    {line}", flush=True)


def imported(sae: Path, model: Path) -> tuple[list[str], float]:
    """What `import_sae` says at its end, in a data folder of its own, and how long it took."""
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"DATA_DIR": data, "DATABASE_URL": f"sqlite:///{data}/db.sqlite3"}
        text = Path(data) / "text.txt"
        text.write_text((ROOT / "features/demo/corpus/sotu.txt").read_text()[:200_000])
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        words = ["import_sae", sae, "--model", model, "--corpus", text, "--slug", "real", "--no-compute"]
        start = time.perf_counter()
        done = subprocess.run(
            [*manage, *words], cwd=ROOT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        said = done.stderr if done.returncode else done.stdout
        return [line for line in said.splitlines() if not line.endswith("...")], time.perf_counter() - start


@torch.no_grad()
def ours(pair: dict, folder: Path, model: Path, rows: np.ndarray) -> Figures:
    subject = Subject.load(model, folder / pair["sae"], pair["hook_point"], device="cpu")
    sae = subject.sae
    h = torch.cat(
        [subject.activations(part)[:, 1:].flatten(0, 1) for part in np.split(rows.astype(np.int64), len(rows))]
    )
    acts = torch.cat([sae.encode(part) for part in h.split(512)])
    error = sum(
        float((part - sae.decode(f, part)).double().square().sum())
        for part, f in zip(h.split(512), acts.split(512), strict=True)
    )
    *sums, count = summary.losses(subject, Encoder(sae, "off"), rows, uncounted=())
    total = float((h.double() - h.double().mean(0)).square().sum())
    return Figures(acts, 1 - error / total, np.array(sums) / count)


def theirs(pair: dict, folder: Path, model: Path) -> Figures:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "found.npz"
        words = ["measure", model, pair["module"], folder / pair["rows"], folder / pair["sae"], out]
        subprocess.run(
            [python_of(pair["library"]), PROGRAMS / f"run_{pair['library']}.py", *words],
            check=True, env=os.environ | {"PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        found = np.load(out)
        acts = torch.zeros(*found["shape"].tolist())
        acts[found["tokens"], found["features"]] = torch.from_numpy(found["values"])
        return Figures(acts, float(found["explained_variance"]), found["losses"])


def differences(here: Figures, there: Figures) -> list[str]:
    """A line for each quantity: both, or how far apart at most."""
    only_one = int(((here.acts != 0) != (there.acts != 0)).sum())
    both = (here.acts != 0) & (there.acts != 0)
    apart = (here.acts - there.acts)[both].abs()
    lines = [
        f"active entries: {int((there.acts != 0).sum()):,}; in one of both only: {only_one}",
        f"activations: at most {float(apart.max()):.1e} apart, of {float(there.acts.max()):.1f} at most",
        f"explained variance: {here.explained_variance:.5f}, theirs {there.explained_variance:.5f}",
    ]
    names = ("clean", "with the SAE", "zero-ablated")
    for name, mine, other in zip(names, here.losses, there.losses, strict=True):
        lines.append(f"loss {name}: {mine:.5f}, theirs {other:.5f}")
    return lines


if __name__ == "__main__":
    main(*sys.argv[1:])
