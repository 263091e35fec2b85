"""A model, an SAE and a text on disk, small enough to be imported in a second."""

from dataclasses import dataclass
from pathlib import Path

from tests.engine import small

TEXT = "the wind in the pines\n<|endoftext|>\nin the winter the wind wins\n<|endoftext|>\n" * 30


@dataclass(frozen=True)
class Files:
    folder: Path

    @property
    def model(self):
        return str(self.folder / "small")

    @property
    def sae(self):
        return str(self.folder / "run1")

    @property
    def text(self):
        return str(self.folder / "pines.txt")


def write(folder, layers=1, hook=small.HOOK, width=small.D_MLP) -> Files:
    files = Files(folder)
    folder.mkdir(parents=True, exist_ok=True)
    small.write_model(folder / "small", layers)
    small.write_sae(folder / "run1", hook, width)
    Path(files.text).write_text(TEXT)
    return files
