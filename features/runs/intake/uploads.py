"""How does a checkpoint come from another machine? File by file into a folder of its token, then whole at once."""

import hashlib
import re
import secrets
import shutil
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from ...engine.files import give_name, sha256, whole_file
from ...messages import size
from ...models import RunToken, Watch

NAMES = {"sae_weights.safetensors", "sae.pt", "ae.pt", "cfg.json", "config.json"}
STEP = re.compile(r"\d{1,15}")
MOST_OF_JSON = 1 << 20
CHUNK = 1 << 20
UNFINISHED = ".{}.tmp"


class CheckpointRefused(ValueError):
    """An upload that is not taken; `status` of the answer."""

    def __init__(self, sentence: str, status: int = 400):
        super().__init__(sentence)
        self.status = status


def make_token(name: str, asked: dict) -> str:
    """A token for one training, shown once: its hash is kept. Raises ValueError where the name is taken."""
    if not re.fullmatch(r"[\w.-]{1,60}", name) or name.startswith("."):
        raise ValueError(f"{name!r} is no name for a run: letters, digits, dots, hyphens and underscores, up to 60.")
    if RunToken.objects.filter(name=name).exists():
        raise ValueError(f"There is a token {name!r} already: one token, one training. Choose another name.")
    folder = settings.DATA_DIR / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    watch = Watch.objects.get_or_create(path=str(folder), defaults={"asked": asked})[0]
    token = secrets.token_urlsafe(32)
    RunToken.objects.create(name=name, watch=watch, hash=_hash(token))
    return token


def _hash(token: str) -> str:
    """Tokens are long and random: a fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_of(header: str) -> RunToken:
    """From "Authorization: Bearer ...". Raises CheckpointRefused."""
    scheme, _, token = header.partition(" ")
    found = RunToken.objects.select_related("watch").filter(hash=_hash(token.strip())).first()
    if scheme != "Bearer" or found is None:
        raise CheckpointRefused("This is no token of a run. Make one: manage.py run_token NAME.", 401)
    if found.revoked:
        raise CheckpointRefused(
            f"The token of “{found.name}” was revoked. Make another: manage.py run_token NAME.", 401
        )
    RunToken.objects.filter(pk=found.pk).update(used=timezone.now())
    return found


def receive(token: RunToken, step: str, name: str, request) -> None:
    """One file of a checkpoint, as it streams in. Raises CheckpointRefused."""
    folder = _unfinished(token, step)
    if name not in NAMES:
        raise CheckpointRefused(f"{name} is no file of a checkpoint. Sent can be: {', '.join(sorted(NAMES))}.")
    most = MOST_OF_JSON if name.endswith(".json") else settings.SAEVIZ_MAX_UPLOAD
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    if length <= 0:
        raise CheckpointRefused(f"{name} came empty, or without its length. Send it with Content-Length.", 411)
    if length > most:
        raise CheckpointRefused(f"{name} has {size(length)}; taken are up to {size(most)} (SAEVIZ_MAX_UPLOAD).", 413)
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < 2 * length:
        raise CheckpointRefused(
            f"{name} has {size(length)}, and {size(free)} are free on the site's disk. Make room there.", 507
        )
    folder.mkdir(parents=True, exist_ok=True)
    come = 0
    with whole_file(folder / name) as unfinished, unfinished.open("wb") as file:
        while come < length and (part := request.read(min(CHUNK, length - come))):
            file.write(part)
            come += len(part)
        if come < length:
            raise CheckpointRefused(f"Of {name} came {size(come)} of {size(length)}. Send it again.")


def finish(token: RunToken, step: str) -> str:
    """All files are there: the checkpoint appears, whole. A sentence. Raises CheckpointRefused."""
    folder, final = _unfinished(token, step), Path(token.watch.path) / step
    for left in folder.glob("*.part"):  # by a process that was killed
        left.unlink()
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if not any(file.suffix != ".json" for file in files):
        raise CheckpointRefused(f"No weights of step {step} have come. Send its files first.")
    if final.exists():
        same = [_content(final), _content(folder)]
        shutil.rmtree(folder)
        if same[0] != same[1]:
            raise CheckpointRefused(
                f"Step {step} of “{token.name}” is here with other files: two trainings with one token? Make another "
                "token for the other: manage.py run_token NAME.",
                409,
            )
        return f"Step {step} was here already."
    give_name(folder, final)
    return f"Step {step} is taken."


def _unfinished(token: RunToken, step: str) -> Path:
    if not STEP.fullmatch(step):
        raise CheckpointRefused(f"{step!r} is no step: up to 15 digits.")
    return Path(token.watch.path) / UNFINISHED.format(step)


def _content(folder: Path) -> list[tuple[str, str]]:
    return [(file.name, sha256(file)) for file in sorted(folder.iterdir())]
