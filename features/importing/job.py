"""How does an import that a browser asked for come about? A row that a worker takes.

The rows it makes and the end of its own row are one transaction: what was cancelled or lost meanwhile has made none.
"""

from django.conf import settings
from django.db import transaction

from ..engine.corpus.documents import document_files
from ..jobs import estimate, lifecycle
from ..models import SAE, Import
from . import plan
from .folders import inside
from .request import ImportRequest

BYTES_A_TOKEN = 4  # of English text, about
GELU1L = "the real GELU-1L, from the hub"  # stands for a path: no browser can ask for one that is not absolute


def request_import(asked: ImportRequest, user=None) -> Import:
    """Queue an import that has nothing left to ask. Raises as `plan_import`, and Outside for other folders.

    The weights are read by a worker; here only headers and configs are.
    """
    planned = _planned(asked)
    row = lifecycle.enqueue(_requested(user, path=asked.path, asked=asked.to_dict()))
    row.expected = expected(None, planned)
    return row


def expected(files, planned: plan.ImportPlan | None = None) -> str:
    """What its computation will take, of SAE files that were looked at (engine.sae.description.SAEDescription), or of a
    plan, which knows the model and the text too."""
    shape = planned.shape if planned else (files.d_in, files.d_sae)
    sae = planned and SAE.objects.filter(slug=planned.slug, d_in=shape[0], d_sae=shape[1]).first()
    sae = sae or SAE(d_in=shape[0], d_sae=shape[1], model_path=str(planned.model_path) if planned else "")
    tokens, k = planned and planned.tokens or settings.SAEVIZ_TOKENS, planned.k if planned else files.k
    if planned is None:
        return estimate.told(sae, tokens, k=k)
    if planned.corpus:
        return estimate.told(sae, min(tokens, planned.corpus.tokens), k=k)
    has = sum(file.stat().st_size for file in document_files(planned.text)) // BYTES_A_TOKEN
    of = f"Its text has about {has:,} tokens, at {BYTES_A_TOKEN} bytes each; it is tokenised first. "
    return of + estimate.told(sae, max(1, min(tokens, has)), k=k)


def request_gelu1l(user=None) -> Import:
    """Queue the import of the real GELU-1L; the one at work, if there is any."""
    at_work = Import.objects.unfinished().filter(path=GELU1L, cancel_requested=False).first()
    return at_work or lifecycle.enqueue(_requested(user, path=GELU1L))


def _requested(user, **fields) -> Import:
    return Import(requested_by=user, requested_how="admin", **fields)


def run_import(lease, prepare_gelu1l) -> None:
    """Carry out an import that this process has the lease of.

    `prepare_gelu1l(say, progress)` downloads the real GELU-1L and returns what registers it.
    """
    row = lease.work
    asked = None if row.path == GELU1L else ImportRequest(**row.asked)
    register = _prepared(asked, lease, prepare_gelu1l)
    with transaction.atomic():
        saes = register()
        for sae in saes:
            plan.request_figures(sae, asked and asked.tokens, user=row.requested_by)
        lease.finish(sae=saes[0])


def _prepared(asked: ImportRequest | None, lease, prepare_gelu1l):
    """All that takes long; what it gives back writes the rows."""
    if asked is None:
        return prepare_gelu1l(say=lease.phase, progress=lambda file: _received(lease, file)).register
    planned = _planned(asked, lease.check)  # once more: a link may lead elsewhere by now
    checked = plan.check_import(planned, lease.phase, lease.check)
    return lambda: [checked.register()]


def look(asked: ImportRequest) -> plan.ImportPlan:
    """The plan of an import. Raises what stands in its way: Unanswered with all that is open, Outside, what cannot be
    read."""
    return _planned(asked)


def _planned(asked: ImportRequest, tick=None) -> plan.ImportPlan:
    """The plan of an import whose files all lie below the configured folders, links followed. Raises Outside."""
    inside(asked.path)
    return plan.plan_import(asked, tick=tick, restricted=True)


def _received(lease, file):
    """Of a download: `DownloadProgress`."""
    lease.phase(file.name, file.done, file.total, file.rate)
