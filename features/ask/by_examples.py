"""Which features tell some texts from others? Texts that have a property and texts that have not, through the model."""

import time

import numpy as np
from django.conf import settings
from django.http import JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from .. import runtime, strangers
from ..browse import feature_json
from ..browse.sae_overview import quick_note
from ..browse.views import sae_or_404
from ..engine.ask.apart import tell_apart
from ..engine.model.config import context_length
from ..engine.text.tokenizer_file import TokenizerMissing
from ..models import SAE, Feature
from ..storage.readers import vocabulary_of
from . import admission

FEWEST, MOST = 4, 100  # texts of each kind: half of them choose, the others judge
MOST_TOKENS = 16_384  # of all texts


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def by_examples(request, slug):
    """The page, or with format=json the answer alone. A form that is posted carries its CSRF token."""
    sae = sae_or_404(slug)
    given = request.POST if request.method == "POST" else request.GET
    texts = {name: given.get(name, "").replace("\r\n", "\n") for name in ("having", "lacking")}
    answer, failure, problem, status = None, None, "", 200
    if any(texts.values()) or given.get("format") == "json":
        try:
            strangers.refuse(request)
            with runtime.place():
                answer = ask_by_examples(sae, texts_of(texts["having"]), texts_of(texts["lacking"]))
        except admission.NO_ANSWER as why:
            failure, problem, status = why, str(why), admission.status_of(why)
        except (ValueError, OSError) as refusal:
            problem, status = str(refusal), 400
    if given.get("format") == "json":
        return admission.refusal(failure) if failure else JsonResponse(answer or {"error": problem}, status=status)
    context = {"sae": sae, "here": "ask", "answer": answer, "problem": problem, "quick": quick_note(sae), **texts}
    page = render(request, "features/by_examples.html", context | {"fewest": FEWEST, "most": MOST}, status=status)
    return admission.come_again(page, failure)


def texts_of(pasted: str) -> list[str]:
    """A text a line; where empty lines stand between them, what is between these."""
    parts = pasted.split("\n\n") if "\n\n" in pasted.strip() else pasted.split("\n")
    return [part.strip("\n") for part in parts if part.strip()]


def ask_by_examples(sae: SAE, having: list[str], lacking: list[str]) -> dict:
    """Raises ValueError for texts that cannot be asked, and as runtime.loaded."""
    began = time.perf_counter()
    sides = [_ids(sae, "that have the property", having), _ids(sae, "that have not", lacking)]
    total = sum(len(ids) for side in sides for ids in side)
    if total > MOST_TOKENS:
        raise ValueError(f"The texts have {total:,} tokens; {MOST_TOKENS:,} are read. Leave some out.")
    scores = [np.stack([_strongest(sae, ids) for ids in side]) for side in sides]  # [texts, d_sae] each
    found = tell_apart(*scores)
    rows = Feature.objects.shown_of(sae).narrow().filter(index__in=found.features.tolist())
    tokens = dict(rows.values_list("index", "top_token"))
    records = feature_json.records(
        index=found.features,
        held_out=found.held_out,
        chosen_on=found.chosen_on,
        having=scores[0][:, found.features].mean(0),
        lacking=scores[1][:, found.features].mean(0),
    )
    return {
        "texts": {"having": len(having), "lacking": len(lacking), "tokens": total},
        "held_out": {"having": len(having) // 2, "lacking": len(lacking) // 2},
        "features": [record | {"top_token": tokens.get(record["index"], "")} for record in records],
        "seconds": round(time.perf_counter() - began, 3),
    }


def _ids(sae: SAE, which: str, texts: list[str]) -> list[list[int]]:
    if not FEWEST <= len(texts) <= MOST:
        way = "Half of them choose the features, the others judge these." if len(texts) < FEWEST else "Leave some out."
        raise ValueError(f"There are {len(texts):,} texts {which}; {FEWEST} to {MOST} are read, one a line. {way}")
    size = sum(len(text.encode()) for text in texts)
    if size > settings.SAEVIZ_PROMPT_BYTES:
        raise ValueError(f"The texts {which} have {size:,} bytes; {settings.SAEVIZ_PROMPT_BYTES:,} are read.")
    vocabulary, longest = vocabulary_of(sae), context_length(sae.model_path) or settings.SAEVIZ_PROMPT_TOKENS
    try:
        ids = [vocabulary.with_bos(ids) for ids in vocabulary.many_ids(texts)]
    except TokenizerMissing as error:
        raise runtime.Unavailable(f"{sae.slug} cannot be asked: {error}") from error
    for number, one in enumerate(ids, 1):
        if len(one) > longest:
            raise ValueError(f"Text {number} of those {which} has {len(one):,} tokens; this model reads {longest:,}.")
        if all(id in vocabulary.special for id in one):
            raise ValueError(f"Text {number} of those {which} has no token that is counted.")
    return ids


def _strongest(sae: SAE, ids: list[int]) -> np.ndarray:
    """The largest size of each feature on the text's counted tokens. [d_sae] float32. The model is given back after
    each text, so that a prompt need not wait for all."""
    with runtime.loaded(sae) as subject:
        counted = [position for position, id in enumerate(ids) if id not in subject.vocabulary.special]
        activations = subject.sae.encode(subject.activations(ids)[0][counted])  # [counted, d_sae]
        return activations.abs().amax(0).cpu().numpy()
