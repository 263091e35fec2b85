"""Staff's door for runs: folders to watch below the configured ones, and what was read of them."""

from django import forms
from django.contrib import admin, messages
from django.utils.html import format_html

from ..importing import language_models
from ..importing.folders import Outside, inside, roots
from ..jobs.admin import QueuedWorkAdmin, ReadOnly
from ..messages import BadRequest, size
from ..models import Checkpoint, Comparison, Corpus, Run, Watch
from . import removal, warnings
from .intake import watching


class WatchForm(forms.ModelForm):
    """Which folder, and what its files do not say."""

    model = forms.ChoiceField(label="Language model", required=False)
    hook = forms.CharField(label="Hook point", required=False, help_text="Leave empty for what the files say.")
    corpus = forms.ChoiceField(required=False, help_text="That the rows of its runs are drawn from.")
    answers = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        required=False,
        help_text="What the files do not say, a line each: k=32",
    )

    class Meta:
        model = Watch
        fields = ["path", "every", "panels_every", "rules", "ended"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        asked = self.instance.asked or {}
        known = [str(folder) for folder in language_models.known_folders()]
        models = dict.fromkeys([*known, *filter(None, [asked.get("model")])])
        self.fields["model"].choices = [("", "as the files say"), *((folder, folder) for folder in models)]
        corpora = Corpus.objects.filter(rows_of=None).values_list("slug", "name")
        self.fields["corpus"].choices = [("", "the demo's text"), *corpora]
        answers = "\n".join(f"{name}={value}" for name, value in asked.get("answers", {}).items())
        self.initial |= {"model": asked.get("model", ""), "hook": asked.get("hook", ""), "answers": answers}
        self.initial["corpus"] = asked.get("corpus", "")
        if "path" in self.fields:
            below = ", ".join(map(str, roots())) or "SAEVIZ_FOLDERS, which names no folder that is there"
            self.fields["path"].help_text = f"A folder below {below}."

    def clean_path(self):
        try:
            path = inside(self.cleaned_data["path"])
        except Outside as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        if not path.is_dir():
            raise forms.ValidationError(
                f"{path} is no folder that can be read. Name the one checkpoints are written into."
            )
        return str(path)

    def clean_answers(self):
        lines = [line.strip() for line in self.cleaned_data["answers"].splitlines() if line.strip()]
        wrong = [line for line in lines if "=" not in line]
        if wrong:
            raise forms.ValidationError(f"{wrong[0]} names no value. Write NAME=VALUE, as in k=32.")
        return dict(line.split("=", 1) for line in lines)

    def clean_rules(self):
        rules = self.cleaned_data["rules"] or {}
        if not isinstance(rules, dict) or (unknown := [name for name in rules if name not in warnings.RULES]):
            first = unknown[0] if isinstance(rules, dict) else rules
            raise forms.ValidationError(f"There is no rule {first!r}. There are: {', '.join(warnings.RULES)}.")
        wrong = [name for name, value in rules.items() if value is not None and not _is_number(value)]
        if wrong:
            raise forms.ValidationError(f"{wrong[0]} is {rules[wrong[0]]!r}; give a number, or null to switch it off.")
        return rules

    def asked(self) -> dict:
        said = {name: self.cleaned_data[name] for name in ("model", "hook", "corpus", "answers")}
        return {name: value for name, value in said.items() if value}


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _counted(count: int, what: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{count:,} {what}" + "s" * (count != 1)


def _taken(watch: Watch) -> str:
    """What the site keeps of it."""
    read, saes = removal.taken(watch)
    return f"records of {size(read)}, panels of {_counted(saes, 'checkpoint')}"


@admin.register(Watch)
class WatchAdmin(admin.ModelAdmin):
    """Folders that are watched."""

    form = WatchForm
    list_display = ["path", "state", "runs_read", "takes", "looked"]

    def has_add_permission(self, request):
        return request.user.has_perm("features.add_job")

    has_module_permission = has_add_permission

    def has_view_permission(self, request, obj=None):
        return self.has_add_permission(request)

    def has_change_permission(self, request, obj=None):
        return self.has_add_permission(request)

    def has_delete_permission(self, request, obj=None):
        return request.user.has_perm("features.delete_watch")  # as where the site shows what it keeps

    def get_readonly_fields(self, request, obj=None):
        return ["path"] if obj else []

    def get_actions(self, request):
        return {}  # one at a time: what was read of a folder goes with it

    def save_model(self, request, obj, form, change):
        """What failed is read again with what is said now."""
        obj.asked = form.asked()
        if not change:
            obj.restricted, obj.requested_by = True, request.user
        obj.save()
        obj.checkpoints.filter(state__in=Checkpoint.ENDED_EARLY).delete()
        if not obj.ended:
            found = watching.look(obj)
            queued = _counted(len(found), "checkpoint") + (" is" if len(found) == 1 else " are")
            self.message_user(request, f"{queued} queued; others follow as they appear.")

    def get_deleted_objects(self, objs, request):
        texts = []
        for watch in objs:
            texts.append(f"{watch.path}: {_counted(watch.runs.count(), 'run')}, {_taken(watch)}")
        return texts, {}, set(), []

    def delete_model(self, request, obj):
        try:
            removal.remove(obj)
        except BadRequest as refusal:
            self.message_user(request, str(refusal), messages.ERROR)

    @admin.display(description="state")
    def state(self, watch):
        return watch.problem or watch.note or ("ended" if watch.ended else "watched")

    @admin.display(description="runs")
    def runs_read(self, watch):
        return ", ".join(watch.runs.values_list("name", flat=True)[:5]) or "none yet"

    @admin.display(description="takes")
    def takes(self, watch):
        return _taken(watch)


@admin.register(Checkpoint)
class CheckpointAdmin(QueuedWorkAdmin):
    """Checkpoints as work: how far each is, to be cancelled and tried again."""

    list_display = ["id", "buttons", "run", "page", "progress", "path", "created"]
    list_filter = ["state", "run"]
    list_select_related = [*QueuedWorkAdmin.list_select_related, "run"]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("figures")

    @admin.display(description="page")
    def page(self, checkpoint):
        return (
            format_html('<a href="{}">{}</a>', checkpoint.get_absolute_url(), checkpoint.label)
            if checkpoint.run
            else ""
        )


@admin.register(Comparison)
class ComparisonAdmin(QueuedWorkAdmin):
    """Whole SAEs beside each other: how far each comparison is."""

    list_display = ["id", "buttons", "page", "other", "progress", "asked_for"]
    list_select_related = [*QueuedWorkAdmin.list_select_related, "other"]

    def get_queryset(self, request):
        return super().get_queryset(request).defer("pairs")


admin.site.register(Run, ReadOnly)
