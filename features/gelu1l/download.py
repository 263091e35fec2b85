"""How do the real GELU-1L, its two SAEs and its corpus get here? Files from the hub, once; then rows of the site."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

from ..engine.confined.process import ChildEnded
from ..engine.corpus.errors import CorpusError
from ..importing import corpora, hub, plan
from ..importing.hub_transfer import DownloadProgress
from ..importing.request import ImportRequest
from ..models import SAE
from ..storage.opened import LOOKS, TEXTS, opened
from .convert import TOKENIZER

MODEL = "NeelNanda/GELU_1L512W_C4_Code"
TOKENS = "NeelNanda/gpt-neox-tokenizer-digits"
SAES = "NeelNanda/sparse_autoencoder"
CORPUS = "datasets/NeelNanda/c4-code-20k"
RUNS = {"gelu-1l-run1": ("25", "GELU-1L, run 1"), "gelu-1l-run2": ("47", "GELU-1L, run 2")}
FIRST, SECOND = RUNS  # the second is encoder B of the first
HOOK = "blocks.0.mlp.hook_post"
TIMES = 16  # bytes in memory for each of a file's: text unpacked, tokens of Python
LICENCE = "NeelNanda/c4-code-20k from the Hugging Face hub: documents of C4 (ODC-BY) and public code."


@dataclass(frozen=True)
class Files:
    """What was downloaded."""

    config: Path
    weights: Path
    tokenizer: Path  # folder
    checkpoints: dict[str, Path]  # slug -> weights
    texts: list[Path]  # parquet


@dataclass(frozen=True)
class Prepared:
    """Both SAEs, checked, and their corpus: only the rows are lacking."""

    corpus: corpora.BuiltCorpus
    checked: tuple[plan.CheckedImport, ...]  # without those that are rows already

    def register(self) -> list[SAE]:
        """Write all rows, or none."""
        with transaction.atomic():
            corpus = self.corpus.register()
            for checked in self.checked:
                checked.register(corpus)
            SAE.objects.filter(slug=FIRST, encoder_b=None).update(encoder_b=SAE.objects.get(slug=SECOND))
            return [SAE.objects.get(slug=slug) for slug in RUNS]


def prepare(
    text: str = "",
    say: Callable[[str], None] = lambda step: None,
    progress: Callable[[DownloadProgress], None] = lambda received: None,
) -> Prepared:
    """Everything but the rows, on the published corpus or on `text`. What is there is not done again.

    `say(sentence)` hears of each step, `progress(DownloadProgress)` of each download; what they raise ends it, and the
    next one goes on from there. Raises HubError, and what `check_import` raises.
    """
    files = download(with_texts=not text, progress=progress)
    say("Converting the model")
    folder = settings.DATA_DIR / "models" / "gelu-1l"
    _in_child("convert_model", [files.weights], files.config, files.weights, files.tokenizer, folder)
    say(step := "Tokenising the corpus")
    built = corpora.build(text, folder) if text else _published_corpus(files.texts, folder, partial(say, step))
    new = {slug: path for slug, path in files.checkpoints.items() if not _is_there(slug, path, built)}
    return Prepared(built, tuple(_check(slug, path, folder, built, say) for slug, path in new.items()))


def download(with_texts: bool = True, progress: Callable[[DownloadProgress], None] = lambda received: None) -> Files:
    """All files, those that are here already without the network."""

    def fetch(repository: str, name: str) -> Path:
        return hub.fetch_file(repository, name, settings.DATA_DIR / "hub", progress)

    tokenizer = [fetch(TOKENS, name) for name in TOKENIZER]
    checkpoints = {}
    for slug, (run, _) in RUNS.items():
        fetch(SAES, f"{run}_cfg.json")
        checkpoints[slug] = fetch(SAES, f"{run}.pt")
    return Files(
        config=fetch(MODEL, "config.json"),
        weights=fetch(MODEL, "model_final.pth"),
        tokenizer=tokenizer[0].parent,
        checkpoints=checkpoints,
        texts=[fetch(CORPUS, name) for name in _parquet_names()] if with_texts else [],
    )


def _parquet_names() -> list[str]:
    """As the hub lists them; asked once, the answer is kept beside the files."""
    kept = settings.DATA_DIR / "hub" / CORPUS / "names.txt"
    if not kept.exists():
        names = hub.files_ending(CORPUS, ".parquet", settings.DATA_DIR / "hub")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("\n".join(names))
    return kept.read_text().split("\n")


def _published_corpus(texts: list[Path], folder: Path, tick: Callable[[], None]) -> corpora.BuiltCorpus:
    path = settings.DATA_DIR / "corpora" / "c4-code-20k.npy"
    if not path.exists():
        _in_child("write_published_rows", texts, texts, folder, path, tick=tick)
    return corpora.BuiltCorpus("c4-code-20k", "C4 and code, 20k documents", path, folder, True, LICENCE)


def _in_child(function: str, files: list[Path], *arguments, tick=None) -> None:
    """A function of convert.py, which opens `files`, in a process of its own. Raises CorpusError, and what it does."""
    module, size = f"{__package__}.convert", sum(file.stat().st_size for file in files)
    what = f"{', '.join(map(str, files))} ({size:,} bytes)"
    try:
        opened(
            (*LOOKS, *TEXTS, module), f"{module}:{function}", *arguments, what=what, size=size, times=TIMES, tick=tick
        )
    except ChildEnded as ended:
        raise CorpusError(str(ended)) from ended


def _is_there(slug: str, path: Path, built: corpora.BuiltCorpus) -> bool:
    there = SAE.objects.filter(slug=slug, path=str(path.resolve()), corpus__slug=built.slug)
    return there.filter(corpus__path=str(built.path)).exclude(self_check=None).exists()


def _check(slug: str, path: Path, folder: Path, built: corpora.BuiltCorpus, say) -> plan.CheckedImport:
    request = ImportRequest(str(path), model=str(folder), hook=HOOK, slug=slug, name=RUNS[slug][1])
    return plan.check_import(plan.plan_import(request, built), say)
