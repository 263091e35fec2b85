"""Staff's list of kept activations: what each set takes, whether its files are whole, and how it is freed."""

from django.contrib import admin, messages

from ..jobs.admin import ReadOnly
from ..messages import size
from ..models import KeptActivations
from ..storage import kept_activations


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
        rows = list(queryset.exclude(manifest=""))
        freed = sum(map(kept_activations.free, rows))
        self.message_user(request, f"{size(freed)} of {len(rows)} sets were freed. Statistics stay.")

    def has_free_permission(self, request):
        return request.user.has_perm("features.delete_keptactivations")
