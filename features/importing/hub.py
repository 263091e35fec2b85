"""What does a hub repository hold, and how does one of its files come to this machine, whole, and only once?

Questions go through `huggingface_hub`: with HF_TOKEN or the token of `hf auth login`, to HF_ENDPOINT, and to nobody
where HF_HUB_OFFLINE is set. The bytes come by `hub_transfer`. What stands in the way is a HubError, in a sentence.
The library is imported where it is used: half a second that no page has to wait for.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .hub_transfer import DownloadProgress, TransferError, bytes_kept, is_whole, transfer

ATTEMPTS = 4  # connections for one file, each going on where the last one broke off
PAUSE = 1.0  # seconds between two of them
TIMEOUT = 30  # seconds for an answer
DATASETS = "datasets/"  # in front of a dataset's "owner/name"


class HubError(OSError):
    """A file or a list that could not be had; the message says which, why and the way out."""


class Offline(HubError):
    """Nobody may be asked."""


class Unreachable(HubError):
    """Nobody answers now; later, somebody may."""


@dataclass(frozen=True)
class RepoListing:
    """What the hub says a repository holds."""

    sizes: dict[str, int]  # file -> bytes; 0 where it does not say
    licence: str  # as its authors put it; may be empty


def fetch_file(
    repository: str, name: str, folder: str | Path, progress: Callable[[DownloadProgress], None] | None = None
) -> Path:
    """The file `name` of `repository` ("owner/name", "datasets/owner/name") below `folder`; asked for if not there.

    Raises HubError. What `progress` raises ends the download too; what has come is kept, and gone on with next time.
    """
    target, report = Path(folder) / repository / name, progress or (lambda received: None)
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise HubError(f"{repository} lists {name}, which would lie elsewhere. It is not fetched.")
    if is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        report(DownloadProgress(target.name, 0, 0, 0.0))
        try:
            return _fetch(repository, name, target, report)
        except OSError as error:  # of the hub, the connection or the disk
            if isinstance(error, HubError) and not isinstance(error, Unreachable):
                raise
            if attempt == ATTEMPTS:
                raise HubError(_broken(f"{repository}/{name}", target, error)) from error
        time.sleep(PAUSE)
    raise AssertionError("every last attempt returns or raises")


def list_repo(repository: str, folder: str | Path) -> RepoListing:
    """The files of a repository; kept below `folder`, for when there is no network. Raises HubError."""
    kept = Path(folder) / repository / ".listing"
    try:
        listing = _list(repository)
    except (Offline, Unreachable) as error:
        try:
            return RepoListing(**json.loads(kept.read_text()))
        except (OSError, ValueError, TypeError):
            way_out = "" if isinstance(error, Offline) else " Is there a network? Run it again with one."
            raise HubError(f"{error}{way_out}") from error
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(listing)))
    return listing


def list_named_repo(repository: str, name: str, folder: str | Path) -> RepoListing:
    """The same of a `name` that may have been meant as a path. Raises HubError, which says so."""
    try:
        return list_repo(repository, folder)
    except HubError as error:
        raise HubError(f"{name} is no path here; as a name on the hub: {error}") from error


def files_ending(repository: str, ending: str, folder: str | Path) -> list[str]:
    """Names of the files of a repository that end so, in order. Raises HubError, also where there are none."""
    files = list_repo(repository, folder).sizes
    fitting = sorted(file for file in files if file.endswith(ending))
    if not fitting:
        raise HubError(f"{repository} has no file ending in {ending}; it has {', '.join([*files][:8]) or 'none'}.")
    return fitting


def endpoint() -> str:
    """HF_ENDPOINT, as for every other program that uses the hub."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _fetch(repository: str, name: str, target: Path, progress) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with _explained(repository, name):
        kind, repo_id = _split(repository)
        url, headers = hf_hub_url(repo_id, name, repo_type=kind, endpoint=endpoint()), _headers()
        metadata = get_hf_file_metadata(url, token=False, headers=headers, timeout=TIMEOUT)
        if not metadata.location.startswith(f"{endpoint()}/"):  # a storage host, whose address says all it needs
            headers.pop("authorization", None)
        return transfer(metadata, headers, target, progress)


def _list(repository: str) -> RepoListing:
    from huggingface_hub import HfApi

    with _explained(repository):
        kind, repo_id = _split(repository)
        api = HfApi(endpoint=endpoint(), token=False, headers=_headers())
        try:
            info = api.repo_info(repo_id, repo_type=kind, files_metadata=True, timeout=TIMEOUT)
            sizes = {file.rfilename: int(file.size or 0) for file in info.siblings}
            return RepoListing(sizes, str((info.card_data or {}).get("license") or ""))
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise HubError(
                f"{endpoint()} says of {repository} what cannot be read ({error!r}). Is it a hub?"
            ) from error


def _split(repository: str) -> tuple[str, str]:
    """The library's kind of a repository, and its "owner/name"."""
    plain = repository.removeprefix(DATASETS)
    return "model" if plain == repository else "dataset", plain


def _headers() -> dict[str, str]:
    """User agent, and the token where there is one. Raises HubError where it can be none: nobody else may print it."""
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers(library_name="saeviz")
    if not re.fullmatch(r"[!-~ ]*", headers.get("authorization", "")):
        raise HubError("The token of HF_TOKEN, or of `hf auth login`, has characters that no token has. Copy it anew.")
    return headers


@contextmanager
def _explained(repository: str, name: str = "") -> Iterator[None]:
    """What the library raises, as the HubError that says it."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    what = f"{repository}/{name}" if name else repository
    try:
        yield
    except OfflineModeIsEnabled as error:
        way_out = "Unset it, and run it again with a network."
        raise Offline(f"HF_HUB_OFFLINE is set, and {what} was not downloaded before. {way_out}") from error
    except HfHubHTTPError as error:
        raise _refusal(error, repository, name) from error
    except HTTPError as error:  # no answer: the library's name for any failure of a connection
        raise Unreachable(f"{endpoint()} does not answer ({error}).") from error
    except TransferError as error:
        raise HubError(str(error)) from error
    except HFValidationError as error:
        raise HubError(f"No repository of a hub can be called {repository}: {error}") from error


def _refusal(error, repository: str, name: str) -> HubError:
    """What an answer of the hub that is no file and no list comes to; `error` is a HfHubHTTPError."""
    code, reason = error.response.status_code, error.response.reason_phrase
    answer = f"{repository}/{name}".rstrip("/") + f": the hub answers {code} ({reason})."
    if code >= 500 or code == 429:
        return Unreachable(answer)
    token_sent = "authorization" in error.response.request.headers
    return HubError(_known_refusal(error, repository, name, token_sent) or f"{answer} {_hint(error, code)}")


def _known_refusal(error, repository: str, name: str, token_sent: bool) -> str:
    """The sentence for what the hub names a reason of; else empty."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    page = f"{endpoint()}/{repository}"
    if isinstance(error, GatedRepoError) and token_sent:
        whose = "the account whose token was sent is not let in"
        return f"{repository} is gated, and {whose}. Accept its terms at {page}; some owners let in by hand."
    if isinstance(error, GatedRepoError):
        login = "set HF_TOKEN to a token of that account, or log in with `hf auth login`"
        return (
            f"{repository} is gated: only who has accepted its terms may read it. Accept them at {page}, then {login}."
        )
    if isinstance(error, RepositoryNotFoundError):
        login = "private: then set HF_TOKEN, or run `hf auth login`"
        hidden = "hidden from the token that was sent" if token_sent else login
        return f"{endpoint()} has no {repository}, or it is {hidden}. Is the name right?"
    if isinstance(error, EntryNotFoundError):
        return f"{repository} has no file {name}; was it renamed? {page}/tree/main lists what there is."
    if error.response.status_code == 401 and token_sent:
        whose = "the token that was sent, that of HF_TOKEN or of `hf auth login`"
        way_out = f"Make another at {endpoint()}/settings/tokens; public files need none."
        return f"{endpoint()} does not accept {whose}. {way_out}"
    return ""


def _hint(error, code: int) -> str:
    if code in (401, 403):
        return error.server_message or "It wants a login: set HF_TOKEN, or run `hf auth login`."
    return "There is no such file or repository; was it renamed?" if code == 404 else "Run it again later."


def _broken(what: str, target: Path, error) -> str:
    kept = bytes_kept(target)
    have = f" {kept:,} bytes are kept; the next run goes on from there." if kept else ""
    why = str(error).rstrip(".")
    return f"{what}: {why} ({ATTEMPTS} attempts).{have} Is there a network, and room on the disk? Run it again then."
