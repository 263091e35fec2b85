"""Staff's door: SAEs and features with "Recompute statistics"; jobs and imports have pages of their own."""

from django.contrib import admin, messages
from django.utils.html import format_html

from .ask import admin as admin_ask  # noqa: F401  (the same)
from .importing import admin as admin_imports  # noqa: F401  (registers its pages)
from .jobs.admin import ComputesStatistics, ReadOnly
from .messages import BadRequest
from .models import SAE, Corpus, Feature, Statistics
from .runs import admin as admin_runs  # noqa: F401  (the same)
from .storage import removal
from .templatetags.formatting import figure, percent


@admin.register(SAE)
class SAEAdmin(ComputesStatistics):
    list_display = ["name", "slug", "model_name", "hook_point", "d_sae", "corpus", "shown"]
    list_select_related = ["corpus", "statistics", "statistics__corpus", "statistics__sae"]
    readonly_fields = ["format", "d_in", "d_sae", "checkpoint_hash", "neurons", "total_effect", "created"]

    def has_add_permission(self, request):
        return False  # a row is made from files: see importing/register.py

    def get_deleted_objects(self, objs, request):
        """What goes with them, in words: features may be 100,000s. None goes while something unfinished is of it."""
        refused = [f"{sae}: {why}" for sae in objs if (why := removal.why_not(sae))]
        return [f"{sae}, with {removal.goes_with(sae)}" for sae in objs], {}, set(), refused

    def delete_model(self, request, obj):
        try:
            removal.remove_sae(obj)
        except BadRequest as refusal:  # begun since it was looked at
            self.message_user(request, str(refusal), messages.ERROR)

    def delete_queryset(self, request, queryset):
        for sae in queryset:
            self.delete_model(request, sae)

    def wanted(self, queryset):
        return [(sae, None) for sae in queryset.select_related("corpus", "statistics")]

    @admin.display(description="statistics")
    def shown(self, sae):
        return f"{sae.statistics.tokens:,} tokens" if sae.statistics else "none yet"


@admin.register(Feature)
class FeatureAdmin(ComputesStatistics, ReadOnly):
    """The features that pages show; to be read, and chosen for recomputation."""

    list_display = ["index", "sae", "share", "largest", "count", "top_token", "top_logit"]
    list_display_links = None
    list_filter = ["statistics__sae"]
    search_fields = ["=index"]
    ordering = ["statistics", "index"]
    show_full_result_count = False

    def get_queryset(self, request):
        shown = SAE.objects.exclude(statistics=None).values("statistics")
        found = super().get_queryset(request).filter(statistics__in=shown)
        return found.narrow().select_related("statistics__sae__corpus")

    def wanted(self, queryset):
        chosen = {}
        for feature in queryset:
            chosen.setdefault(feature.statistics.sae, []).append(feature.index)
        return list(chosen.items())

    @admin.display(description="density", ordering="density")
    def share(self, feature):
        return percent(feature.density)

    @admin.display(description="maximum", ordering="maximum")
    def largest(self, feature):
        return figure(feature.maximum)

    @admin.display(ordering="statistics__sae")
    def sae(self, feature):
        return format_html(
            '<a href="{}">{}</a>',
            feature.statistics.sae.feature_url(feature.index),
            f"{feature.statistics.sae.slug} #{feature.index}",
        )


admin.site.register([Corpus, Statistics], ReadOnly)
