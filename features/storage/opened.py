"""Who opens a file that others made? A child of this process, within the bounds of the settings.

What it finds is small, or a file of ours that it has written. A file that the child has looked through may then be read
here where that takes no more: SAEs' weights, whose tensors are no larger than their files say.
"""

from pathlib import Path

from django.conf import settings

from ..engine.confined.process import Bounds, ChildEnded, Children
from ..engine.sae.description import SAEDescription
from ..engine.sae.reading.errors import CheckpointError
from ..engine.sae.reading.files import find_weights, weight_files

LOOKS = ("features.engine.sae.checkpoint",)  # what a look at weights needs: torch
TEXTS = ("features.engine.corpus.built_rows", "features.engine.corpus.columns")
PACE = 1 << 20  # bytes a second that are read at least
IDLE = 120.0  # seconds that a child with torch stays when nobody asks

children = Children(idle=IDLE)


def description_of(path, answers: dict | None = None, tick=None) -> SAEDescription:
    """What the files of an SAE say of it, from headers and configs alone. Raises CheckpointError."""
    files = weight_files(find_weights(Path(path)))
    size = sum(file.stat().st_size for file in files)
    asked = Path(path), answers or None, settings.SAEVIZ_MAX_BYTES
    try:
        # Old files of pickles are read whole to be looked into; all others by what stands in front.
        return opened(
            LOOKS,
            "features.engine.sae.checkpoint:describe",
            *asked,
            what=f"{path} ({size:,} bytes)",
            size=size,
            times=3,
            tick=tick,
        )
    except ChildEnded as ended:
        raise CheckpointError(str(ended)) from ended


def opened(modules: tuple[str, ...], function: str, *arguments, what: str, size: int, times: int, tick=None):
    """What "package.module:function" returns of files of `size` bytes together, each taken at most `times` over in
    memory. `tick()` is called while it is waited for, and may raise to end it.

    Raises what the function raises, and ChildEnded.
    """
    bounds = Bounds(
        memory=settings.SAEVIZ_FILE_MEMORY + times * size,
        seconds=settings.SAEVIZ_FILE_SECONDS + size // PACE,
        more_memory="SAEVIZ_FILE_MEMORY raises it",
        more_time="SAEVIZ_FILE_SECONDS raises it",
    )
    with children.one(tick) as child:
        child.load(modules, tick)
        return child.ask(function, arguments, bounds, what, tick=tick)
