"""Staff's lists of long work: which there is, how far it is, and the form that asks for a computation."""

from django import forms
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timezone import localtime

from ..engine.results import LOSS_ROWS
from ..messages import BadRequest
from ..models import Analysis, AutoInterp, Corpus, DecoderMap, GradingDraw, Job, Verification
from . import estimate, lifecycle, requests, status


class ReadOnly(admin.ModelAdmin):
    """Rows that come from files or jobs: to be looked at, not typed."""

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


def say_queued(page, request, work, what: str, more: str = ""):
    """That it is, or waits for the queue to be back."""
    level = messages.WARNING if work.note else messages.SUCCESS
    page.message_user(request, " ".join(filter(None, [f"{what} is queued.", work.note, more])), level)


class RecomputeForm(forms.Form):
    """What to compute with; the rules are those of `requests.request_statistics`."""

    tokens = forms.IntegerField(
        min_value=1,
        required=False,
        help_text="Leave empty for as many as stand above. "
        "Chosen features are computed on those of the statistics shown.",
    )
    device = forms.CharField(initial="auto", max_length=20, help_text="auto, cpu, mps, cuda, cuda:1 ...")
    corpus = forms.ModelChoiceField(Corpus.objects, required=False, help_text="Leave empty for the SAE's own.")
    seed = forms.IntegerField(min_value=0, required=False, help_text="Of the random examples. Leave empty for 0.")
    loss_rows = forms.IntegerField(
        min_value=2,
        required=False,
        help_text=f"To measure losses on. Leave empty for {LOSS_ROWS}.",
    )


class ComputesStatistics(admin.ModelAdmin):
    """Gives a list the action; a subclass says which jobs its chosen rows stand for."""

    actions = ["recompute"]

    def has_recompute_permission(self, request):
        return request.user.has_perm("features.add_job")

    @admin.action(description="Recompute statistics", permissions=["recompute"])
    def recompute(self, request, queryset):
        """First the form, then, once it is sent, the jobs."""
        form = RecomputeForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid() and self._request_all(request, queryset, form):
            return HttpResponseRedirect(reverse("admin:features_job_changelist"))
        context = self.admin_site.each_context(request) | {
            "title": "Recompute statistics",
            "opts": self.opts,
            "form": form,
            "asked": [self.describe(sae, features) for sae, features in self.wanted(queryset)],
            "chosen": request.POST.getlist(admin.helpers.ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
            "checkbox": admin.helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/features/recompute.html", context)

    def _request_all(self, request, queryset, form):
        """Every job that can be had; what cannot be stands in the form. True when nothing was refused."""
        for sae, features in self.wanted(queryset):
            try:
                job = requests.request_statistics(
                    sae, features=features, user=request.user, how="admin", **form.cleaned_data
                )
            except (BadRequest, lifecycle.Unfinished) as refusal:
                form.add_error(None, str(refusal))
            else:
                say_queued(self, request, job, f"Job {job.pk} for {sae}", estimate.told(sae, job.tokens, features))
        return form.is_valid()

    def describe(self, sae, features):
        """The line of the form for one job."""
        what = "all" if features is None else f"{len(features):,}"
        tokens = sae.statistics.tokens if features and sae.statistics else requests.default_tokens(sae)
        line = f"{sae}: {what} of {sae.d_sae:,} features, on {sae.corpus} ({sae.corpus.tokens:,} tokens)"
        return f"{line}. {estimate.told(sae, tokens, features)}"


class QueuedWorkAdmin(ReadOnly):
    """A list of pieces of work: how far each is, and the button that stops it or tries it again. Nothing to edit."""

    list_display_links = None
    list_filter = ["state"]
    list_select_related = ["sae", "requested_by"]
    actions = None

    class Media:
        js = [forms.Script("admin/jobs.js", type="module")]

    def changelist_view(self, request, extra_context=None):
        get_token(request)  # sets the cookie that the buttons of the rows send back
        return super().changelist_view(request, extra_context)

    @admin.display(description="SAE", ordering="sae")
    def page(self, work):
        return work.sae and format_html('<a href="{}">{}</a>', work.sae.get_absolute_url(), work.sae)

    @admin.display(ordering="state")
    def progress(self, work):
        """Kept up to date by jobs.js while the work is unfinished."""
        address = status.address(work, "json")
        lines = [status.sentence(work), *getattr(work, "remarks", "").splitlines()]
        said = format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines))
        return format_html('<div data-progress="{}" data-state="{}">{}</div>', address, work.state, said)

    @admin.display(description="asked for", ordering="created")
    def asked_for(self, work):
        """By whom, how and when, in one column: the buttons have to stay in sight."""
        by = work.requested_by or work.requested_how or "nobody known"
        how = f", {work.requested_how}" if work.requested_by and work.requested_how else ""
        return f"{by}{how}, {localtime(work.created):%d %b %H:%M}"

    @admin.display(description="stop or retry")
    def buttons(self, work):
        if not (work.can_be_cancelled or work.can_be_retried):
            return ""
        action, text = ("cancel", "Cancel") if work.can_be_cancelled else ("retry", "Try again")
        address = status.address(work, action)
        return format_html('<button type="button" class="button" data-post="{}">{}</button>', address, text)


@admin.register(Job)
class JobAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "what", "progress", "parts", "asked_for"]
    list_filter = ["state", "sae"]

    @admin.display(description="features and tokens")
    def what(self, job):
        which = "all" if job.features is None else f"{len(job.features):,} chosen"
        return f"{which}, {job.tokens:,} tokens, {job.device}"

    def get_queryset(self, request):
        return super().get_queryset(request).with_parts()

    @admin.display(description="parts")
    def parts(self, job):
        return f"{job.parts_done:,} of {job.parts_all:,}" if job.parts_all else ""


@admin.register(Verification)
class VerificationAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "progress", "asked_for"]


@admin.register(Analysis)
class AnalysisAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "progress", "asked_for"]


@admin.register(GradingDraw)
class GradingDrawAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "progress", "asked_for"]


@admin.register(DecoderMap)
class DecoderMapAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "progress", "asked_for"]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("places")


@admin.register(AutoInterp)
class AutoInterpAdmin(QueuedWorkAdmin):
    list_display = ["id", "buttons", "page", "what", "progress", "spent", "asked_for"]
    list_filter = ["state", "model"]

    @admin.display(description="features and model")
    def what(self, work):
        address = reverse("features:autointerp", args=[work.sae.slug])
        what = f"{len(work.features):,} by {work.model} at {work.address}"
        return format_html('<a href="{}?job={}">{}</a>', address, work.pk, what)

    @admin.display(description="spent", ordering="calls")
    def spent(self, work):
        cost = "" if work.cost is None else f", {work.cost:.4g}"
        failed = f" ({work.failed_calls:,} failed)" if work.failed_calls else ""
        return f"{work.calls:,} of {work.most_calls:,} calls{failed}, {work.tokens:,} tokens{cost}"
