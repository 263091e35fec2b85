"""Staff's door for SAEs on disk: choose files below the configured folders, answer what they do not say."""

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from ..jobs.admin import QueuedWorkAdmin, say_queued
from ..models import SAE, Corpus, Import
from . import folders, job, language_models
from .request import ImportRequest, Unanswered

ANSWER = "answer_"  # in front of the names of questions among the fields


class ImportForm(forms.Form):
    """Which files, and what is said of them; fields for open questions are added by `ask`."""

    path = forms.CharField(label="SAE", widget=forms.Select)
    model = forms.ChoiceField(label="Language model", required=False)
    hook = forms.CharField(label="Hook point", required=False, help_text="Empty: as the files say, or asked for.")
    corpus = forms.ChoiceField(required=False)
    encoder_b = forms.ChoiceField(label="Encoder B", required=False, help_text="An SAE at the same place to compare to")
    name = forms.CharField(max_length=200, required=False, help_text="Empty: from the files' names.")
    tokens = forms.IntegerField(min_value=1, required=False, help_text="Empty: as many as the settings say.")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        found = [(str(path), str(path)) for path in folders.checkpoints()]
        self.fields["path"].widget.choices = found
        self.fields["path"].help_text = f"Found below {', '.join(map(str, settings.SAEVIZ_FOLDERS))}."
        models = [(str(folder), str(folder)) for folder in language_models.known_folders()]
        self.fields["model"].choices = [("", "as the files say"), *models]
        self.fields["corpus"].choices = [("", "the demo's text"), *Corpus.objects.values_list("slug", "name")]

        self.fields["encoder_b"].choices = [("", "none"), *SAE.objects.values_list("slug", "name")]

    def clean_path(self):
        try:
            return str(folders.inside(self.cleaned_data["path"]))
        except folders.Outside as refusal:
            raise forms.ValidationError(str(refusal)) from refusal

    def asked(self) -> ImportRequest:
        """As `plan_import` takes it. A model may only be one of those offered: paths of others stay closed."""
        said = {name: answer for name, answer in self.data.items() if name.startswith(ANSWER) and answer}
        answers = {name.removeprefix(ANSWER): answer for name, answer in said.items()}
        offered = dict(self.fields["model"].choices)
        if answers.get("model", "") not in offered:
            raise folders.Outside(f"There is no model {answers['model']} here; choose one of those offered.")
        return ImportRequest(**self.cleaned_data).answered(answers)

    def ask(self, questions):
        """Another field for each question; what was answered before stays in the form, out of sight."""
        for question in questions:
            options = list(map(str, question.candidates))
            widget = forms.Select(choices=[(option, option) for option in options]) if options else forms.TextInput
            self.fields[ANSWER + question.name] = forms.CharField(
                label=question.name, help_text=question.text, widget=widget, required=False
            )
        names = {ANSWER + question.name for question in questions}
        self.answered = [(n, said) for n, said in self.data.items() if n.startswith(ANSWER) and n not in names]


@admin.register(Import)
class ImportAdmin(QueuedWorkAdmin):
    """Imports that were asked for here, and the page that asks for one."""

    list_display = ["id", "path", "progress", "page", "requested_by", "created", "buttons"]

    def has_add_permission(self, request):
        return request.user.has_perm("features.add_job")

    def has_view_permission(self, request, obj=None):
        return self.has_add_permission(request)

    def has_module_permission(self, request):
        return self.has_add_permission(request)

    def add_view(self, request, form_url="", extra_context=None):
        """The form, then what the files do not say, then the row and its message to a worker."""
        self._only_for(request)
        if "gelu1l" in request.POST:
            return self._request_gelu1l(request)
        form = ImportForm(request.POST or None)
        if form.is_valid() and self._request(request, form):
            return HttpResponseRedirect(reverse("admin:features_import_changelist"))
        context = self.admin_site.each_context(request) | {"title": "Import an SAE", "opts": self.opts, "form": form}
        return TemplateResponse(request, "admin/features/import.html", context)

    def _request_gelu1l(self, request):
        row = job.request_gelu1l(request.user)
        say_queued(self, request, row, f"Import {row.pk} of {row.path}")
        return HttpResponseRedirect(reverse("admin:features_import_changelist"))

    def _only_for(self, request):
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _request(self, request, form) -> bool:
        try:
            row = job.request_import(form.asked(), request.user)
        except Unanswered as unanswered:
            form.ask(unanswered.questions)
            form.add_error(None, "The files do not say all that is needed; please answer the questions below.")
        except (ValueError, OSError) as refusal:
            form.add_error(None, str(refusal))
        else:
            say_queued(self, request, row, f"Import {row.pk} of {row.path}")
        return form.is_valid()

    @admin.display(description="page")
    def page(self, row):
        return format_html('<a href="{}">{}</a>', row.sae.get_absolute_url(), row.sae) if row.sae else ""
