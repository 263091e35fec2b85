"""A pattern is claimed of a feature, or a claim removed: from the page that asks, and from the feature's own."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ..browse.claims import claims_about, may_claim, may_remove
from ..browse.views import json_errors, sae_or_404
from ..engine.claims.kinds import CLAIM_KINDS
from ..models import Claim
from ..patterns.claims import make_claim
from ..storage.kept_activations import kept_of
from .question import Asked

NOT_ALLOWED = "Only who is signed in and may claim something of features can do this. Log in first."
LONGEST_NOTE = 1000


@require_POST
@json_errors
def claim(request, slug, index):
    """As JSON {"claim", "claims"}, or {"error"}; a plain form (`page` in it) is led to the feature's page instead."""
    sae = sae_or_404(slug)
    if not may_claim(request.user):
        return _refused(request, NOT_ALLOWED, 403)
    if not 0 <= index < sae.d_sae:
        raise Http404(f"Feature {index}: this SAE has features 0 to {sae.d_sae - 1}.")
    note = request.POST.get("note", "").replace("\0", "").strip()
    try:
        if len(note) > LONGEST_NOTE:
            raise ValueError(f"The note has {len(note):,} characters; {LONGEST_NOTE:,} are kept. Shorten it.")
        asked = Asked.from_query(request.POST)
        made = make_claim(sae, kept_of(sae), index, asked.pattern, asked.threshold, request.user, note)
    except (ValueError, OSError) as problem:
        return _refused(request, str(problem), 400)
    return _told(request, sae, index, made.pk, 201)


@require_POST
@json_errors
def remove(request, slug, id):
    sae = sae_or_404(slug)
    claim = get_object_or_404(Claim.objects.about(sae.checkpoint_hash), pk=id)
    if not may_remove(request.user, claim):
        return _refused(request, NOT_ALLOWED if not may_claim(request.user) else "Only its author can remove it.", 403)
    claim.delete()
    return _told(request, sae, claim.index, id, 200)


@require_safe
@never_cache
@json_errors
def claims_json(request, slug):
    """All claims about the SAE's features, and whether they hold on the statistics shown."""
    sae = sae_or_404(slug)
    claims = claims_about(sae, user=request.user)
    return JsonResponse({"checkpoint": sae.checkpoint_hash, "kinds": list(CLAIM_KINDS), "claims": claims})


def _told(request, sae, index: int, id: int, status: int):
    if "page" in request.POST:
        return redirect(f"{sae.feature_url(index)}#claims")
    return JsonResponse({"claim": id, "claims": claims_about(sae, index, request.user)}, status=status)


def _refused(request, why: str, status: int):
    if status == 403 and "page" in request.POST:
        raise PermissionDenied(why)
    return JsonResponse({"error": why}, status=status)
