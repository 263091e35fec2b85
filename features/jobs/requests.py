"""What can be asked to be computed? The one door through which the site, the admin and the commands ask."""

import re

from django.conf import settings

from ..engine.corpus.errors import CorpusError
from ..engine.corpus.token_rows import refuse_longer
from ..engine.results import LOSS_ROWS
from ..messages import BadRequest
from ..models import SAE, Corpus, Job, JobPart
from ..storage.write import same_encoder_b
from . import lifecycle

MARGIN_NEEDS = 2  # rows
DEVICES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def request_statistics(
    sae: SAE,
    tokens: int | None = None,
    device: str = "auto",
    features=None,
    user=None,
    how: str = "",
    seed: int | None = None,
    send: bool = True,
    corpus: Corpus | None = None,
    loss_rows: int | None = None,
) -> Job:
    """Queue a computation: of all features, or of those listed, which then are replaced in the set shown.

    Raises BadRequest for what cannot be computed and jobs.Unfinished where all features are being computed
    already. `job.note` says so when the queue is away; the job then starts as soon as it is back. With
    `send=False` the caller runs it, and goes on with one like it that was interrupted. Without a `corpus` it is
    the one shown for chosen features, else the SAE's; so is encoder B.
    """
    shown = _to_join(sae) if features is not None else None
    corpus = _checked_corpus(sae, corpus or (shown.corpus if shown else sae.corpus))
    if shown and corpus != shown.corpus:
        raise BadRequest(f"{sae} shows statistics on '{shown.corpus}'; compute all its features on '{corpus}' first.")
    tokens = _as_shown(sae, shown, tokens) if shown else _or_default(sae, corpus, tokens)
    if seed is None:
        seed = shown.seed if shown else 0
    job = Job(
        sae=sae,
        corpus=corpus,
        tokens=checked_tokens(corpus, tokens),
        device=_checked_device(device),
        features=_checked_features(sae, features),
        encoder_b=same_encoder_b(shown, shown.encoder_b) if shown else _checked_encoder_b(sae),
        seed=_checked_seed(seed),
        loss_rows=_checked_loss_rows(loss_rows),
        requested_by=user,
        requested_how=how,
        alone=not send,
    )
    if not send and (before := _interrupted(job)):
        return lifecycle.retry(before, user, alone=True)
    return lifecycle.enqueue(job)


def _to_join(sae: SAE):
    """The statistics shown, into which some features can be computed. Raises BadRequest where there are none such."""
    shown = sae.statistics
    if shown is None:
        raise BadRequest(f"{sae} has no statistics yet; compute all its features first.")
    if shown.quick:
        raise BadRequest(
            f"{sae} shows quick results, on its first {shown.tokens:,} tokens; compute all its features first."
        )
    return shown


def default_tokens(sae: SAE, corpus: Corpus | None = None) -> int:
    """Counted where nobody says how many, of all features."""
    return min(settings.SAEVIZ_TOKENS, (corpus or sae.corpus).tokens)


def _or_default(sae, corpus, tokens):
    return default_tokens(sae, corpus) if tokens is None else tokens


def _as_shown(sae, shown, tokens) -> int:
    """Chosen features join the set that is shown: on the same tokens, of the same weights. Whole rows are counted, so
    what ends in the same last row is the same."""
    if not shown.is_of(sae):
        raise BadRequest(
            f"{sae} shows statistics of other weights, or of another reading; compute all its features first."
        )
    row = shown.corpus.row_length - shown.corpus.first
    if tokens is None or shown.tokens - row < tokens <= shown.tokens:
        return shown.tokens
    raise BadRequest(
        f"{sae} shows statistics on {shown.tokens:,} tokens, and chosen features join them; {tokens:,} were asked for. "
        f"Leave the number of tokens empty, or compute all features on {tokens:,}."
    )


def _interrupted(wanted: Job) -> Job | None:
    """A job that was asked for the same before and stopped with some of its parts done."""
    names = ("sae", "corpus", "encoder_b", "tokens", "seed", "device", "loss_rows")
    same = Job.objects.filter(**{name: getattr(wanted, name) for name in names}).newest_first()
    done = JobPart.objects.filter(stage__gt=JobPart.Stage.PLAN, state=JobPart.State.DONE).values("job")
    stopped = same.filter(state__in=(*Job.ENDED_EARLY, Job.State.QUEUED), pk__in=done)
    return next((job for job in stopped if job.features == wanted.features), None)


def _checked_corpus(sae, corpus):
    """Token rows are ids: made with another model's tokenizer, they would read as nonsense. Rows of an earlier version
    may be longer than positions are kept."""
    again = f"with `manage.py add_corpus PATH --model {sae.model_path}`"
    try:
        refuse_longer(corpus.row_length)
    except CorpusError as error:
        raise BadRequest(f"The corpus '{corpus}': {error} Make one {again}.") from error
    own = sae.corpus.tokenizer
    if own and corpus.tokenizer and corpus.tokenizer != own:
        raise BadRequest(
            f"The corpus '{corpus}' was made with another tokenizer ({corpus.tokenizer[:12]}) than that of "
            f"{sae} ({own[:12]}). Make one {again}."
        )
    return corpus


def checked_tokens(corpus: Corpus, tokens: int) -> int:
    """Raises BadRequest where the corpus has fewer."""
    has = corpus.tokens
    if tokens < 1:
        raise BadRequest(f"Asked for {tokens:,} tokens; at least 1 is needed, and {has:,} are there.")
    if tokens > has:
        raise BadRequest(f"Asked for {tokens:,} tokens; the corpus '{corpus}' has {has:,}. Ask for fewer.")
    return tokens


def _checked_device(device):
    if not DEVICES.fullmatch(device):
        raise BadRequest(f"No device is called {device!r}. Say auto, cpu, mps, cuda or cuda:0.")
    return device


def _checked_features(sae, features):
    if features is None:
        return None
    wrong = [i for i in features if not 0 <= i < sae.d_sae]
    if wrong:
        raise BadRequest(f"{sae} has features 0 to {sae.d_sae - 1:,}; there is no {wrong[0]:,}.")
    if not features:
        raise BadRequest("No feature was named. Name at least one, or ask for all.")
    return sorted(set(features))


def _checked_encoder_b(sae):
    b = sae.encoder_b
    if b and (why := sae.not_comparable(b)):
        raise BadRequest(f"{why} Choose another in the administration, or none.")
    return b


def _checked_loss_rows(rows):
    if rows is not None and not MARGIN_NEEDS <= rows < 2**31:
        raise BadRequest(f"Losses on {rows:,} rows have no interval; at least {MARGIN_NEEDS} are needed.")
    return rows or LOSS_ROWS


def _checked_seed(seed):
    if not 0 <= seed < 2**31:
        raise BadRequest(f"The seed is {seed:,}; it has to lie between 0 and {2**31 - 1:,}.")
    return seed
