"""Staff's lists of kept activations, what they take and how they are freed, and of claims about features."""

from django.contrib import admin, messages

from ..engine.claims.words import in_words
from ..jobs.admin import ReadOnly
from ..messages import BadRequest, size
from ..models import SAE, Claim, KeptActivations
from ..storage import kept_activations
from ..storage.holdings import rows


@admin.register(KeptActivations)
class KeptActivationsAdmin(ReadOnly):
    list_display = ["statistics", "takes", "entries", "state", "folder", "machine"]
    list_display_links = None
    list_select_related = ["statistics__sae", "statistics__corpus"]
    actions = ["check_files", "free"]

    @admin.display(ordering="bytes")
    def takes(self, row):
        return size(row.bytes)

    @admin.display(ordering="why_not")
    def state(self, row):
        return "kept" if row.is_complete else row.why_not or "being written"

    @admin.action(description="Check the files of selected sets", permissions=["view"])
    def check_files(self, request, queryset):
        for row in queryset.exclude(manifest=""):
            wrong = kept_activations.check(row)
            level = messages.ERROR if wrong else messages.SUCCESS
            self.message_user(request, f"{row.statistics}: {wrong or 'as they were written.'}", level)

    @admin.action(description="Free the room of selected sets", permissions=["free"])
    def free(self, request, queryset):
        freed = []
        for row in queryset.exclude(manifest=""):
            try:
                freed.append(rows.free(row))
            except BadRequest as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
        self.message_user(request, f"{size(sum(freed))} of {len(freed)} sets were freed. Statistics stay.")

    def has_free_permission(self, request):
        return request.user.has_perm("features.delete_keptactivations")


@admin.register(Claim)
class ClaimAdmin(ReadOnly):
    """What is claimed of features; each outlives statistics, so here it can be removed."""

    list_display = ["sae", "index", "words", "holds", "author_name", "from_findings", "created"]
    list_display_links = None
    list_filter = ["from_findings", "author"]
    search_fields = ["=index", "note"]

    def has_delete_permission(self, request, obj=None):
        return request.user.has_perm("features.delete_claim")

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("tests")

    @admin.display(description="claim")
    def words(self, claim):
        return in_words(claim.says)

    @admin.display(description="SAE")
    def sae(self, claim):
        row = self._saes().get(claim.checkpoint_hash)
        return row.slug if row else f"weights {claim.checkpoint_hash[:12]}, not here now"

    @admin.display(description="holds")
    def holds(self, claim):
        row = self._saes().get(claim.checkpoint_hash)
        test = next((test for test in claim.tests.all() if row and test.statistics_id == row.statistics_id), None)
        if test is None:
            return "not tested on the statistics shown"
        return f"{ {True: 'yes', False: 'no', None: 'not to be tested'}[test.holds] }: {test.figure}"

    def _saes(self):
        return {sae.checkpoint_hash: sae for sae in SAE.objects.only("slug", "checkpoint_hash", "statistics_id")}
