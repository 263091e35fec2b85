"""Staff's door for SAEs on disk: choose files below the configured folders, answer what they do not say."""

from pathlib import Path

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from ..engine.foreign_files import in_words
from ..jobs.admin import QueuedWorkAdmin, say_queued
from ..messages import sentence
from ..models import SAE, Corpus, Import
from . import folders, job, language_models, provenance, uploads
from .request import ImportRequest, Unanswered

ANSWER = "answer_"  # in front of the names of questions among the fields


class ImportForm(forms.Form):
    """Which files, and what is said of them; fields for open questions are added by `ask`."""

    path = forms.CharField(label="SAE", widget=forms.Select)
    model = forms.ChoiceField(label="Language model", required=False)
    hook = forms.CharField(
        label="Hook point",
        required=False,
        help_text="Leave empty for what the files say; it is asked for where they do not.",
    )
    corpus = forms.ChoiceField(required=False)
    encoder_b = forms.ChoiceField(label="Encoder B", required=False, help_text="An SAE at the same place to compare to")
    name = forms.CharField(max_length=200, required=False, help_text="Leave empty for one from the files' names.")
    tokens = forms.IntegerField(min_value=1, required=False, help_text=f"Leave empty for {settings.SAEVIZ_TOKENS:,}.")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.found = [str(path) for path in folders.checkpoints()]
        self.fields["path"].widget.choices = [("", "choose"), *((path, _below_root(path)) for path in self.found)]
        self.fields["path"].help_text = f"Found below {', '.join(map(str, settings.SAEVIZ_FOLDERS))}."
        self.models = [str(folder) for folder in language_models.known_folders()]
        self.fields["model"].choices = [("", "as the files say"), *((folder, folder) for folder in self.models)]
        self.fields["corpus"].choices = [("", "the demo's text"), *Corpus.objects.values_list("slug", "name")]
        self.fields["encoder_b"].choices = [("", "none"), *SAE.objects.values_list("slug", "name")]

    def clean_path(self):
        try:
            return str(folders.inside(self.cleaned_data["path"]))
        except folders.Outside as refusal:
            raise forms.ValidationError(str(refusal)) from refusal

    def asked(self) -> ImportRequest:
        """As `plan_import` takes it. A model may only be one of those offered: paths of others stay closed."""
        answers = self.answers()
        offered = dict(self.fields["model"].choices)
        if answers.get("model", "") not in offered:
            raise folders.Outside(f"There is no model {answers['model']} here; choose one of those offered.")
        return ImportRequest(**self.cleaned_data).answered(answers)

    def answers(self) -> dict:
        """What was answered so far, by the names of the questions."""
        said = {name: answer for name, answer in self.data.items() if name.startswith(ANSWER) and answer}
        return {name.removeprefix(ANSWER): answer for name, answer in said.items()}

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


def _below_root(path: str) -> str:
    """A path without the configured folder that it lies below: the page names those."""
    root = next((root for root in folders.roots() if Path(path).is_relative_to(root)), None)
    return str(Path(path).relative_to(root)) if root and str(root) != path else path


@admin.register(Import)
class ImportAdmin(QueuedWorkAdmin):
    """Imports that were asked for here, and the page that asks for one."""

    list_display = ["id", "buttons", "path", "progress", "page", "asked_for"]

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
        form = ImportForm(request.POST or None, initial={"path": request.GET.get("path")})
        if form.is_valid() and self._request(request, form):
            return HttpResponseRedirect(reverse("admin:features_import_changelist"))
        context = self.admin_site.each_context(request) | {"title": "Import an SAE", "opts": self.opts, "form": form}
        return TemplateResponse(request, "admin/features/import.html", context | self._looked_at(request, form))

    def _looked_at(self, request, form) -> dict:
        """What the chosen files are and ask, before anybody has to answer; and where others go."""
        asked = request.POST.get("path") or request.GET.get("path")
        context = {
            "roots": settings.SAEVIZ_FOLDERS,
            "model_roots": [settings.DATA_DIR / "models", *settings.SAEVIZ_FOLDERS],
            "left_out": folders.no_models(),
            "max_upload": settings.SAEVIZ_MAX_UPLOAD,
            "upload_root": uploads.root() / "uploads" if any(settings.SAEVIZ_FOLDERS) else "",
            "kinds": uploads.KINDS,
        }
        if not asked:
            return context
        try:
            chosen = ImportRequest(str(folders.inside(asked)), answers=form.answers())
            files = provenance.described(chosen)
            context["detected"] = provenance.detected(files)
            context["detected"].append(("Will take", job.expected(files)))
            if not form.is_bound:
                context["detected"][-1] = "Will take", job.expected(files, job.look(chosen))
        except Unanswered as unanswered:
            form.ask(unanswered.questions)
        except (ValueError, OSError) as refusal:
            context["detected"] = [("Cannot be read", in_words(refusal))]
        return context

    def get_urls(self):
        # The token of the form comes with its files: it is looked for when they are received, not before.
        upload = self.admin_site.admin_view(csrf_exempt(self.upload))
        return [path("upload/", upload, name="features_import_upload"), *super().get_urls()]

    def upload(self, request):
        """Files that somebody sends, into a folder; then the page that asks for their import."""
        self._only_for(request)
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:features_import_add"))
        receiver, length = None, int(request.META.get("CONTENT_LENGTH") or 0)
        try:
            uploads.refuse_by_size(length)
            receiver = uploads.Receiver(request)
            request.upload_handlers = [receiver]
            return csrf_protect(lambda request: self._kept(request, receiver))(request)
        except uploads.UploadRefused as refusal:
            return self._upload_refused(request, str(refusal))
        except OSError as error:
            return self._upload_refused(
                request, f"Nothing was kept. {sentence(error, needed=length, folder=uploads.root())}"
            )
        finally:
            if receiver:
                receiver.discard()

    def _kept(self, request, receiver):
        folder = receiver.keep(request.POST.get("folder", ""))
        address = f"{reverse('admin:features_import_add')}?{urlencode({'path': folder})}"
        if request.accepts("text/html"):
            return HttpResponseRedirect(address)
        return JsonResponse({"url": address})

    def _upload_refused(self, request, why: str):
        if not request.accepts("text/html"):
            return JsonResponse({"error": why}, status=400)
        self.message_user(request, why, messages.ERROR)
        return HttpResponseRedirect(reverse("admin:features_import_add"))

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
            form.add_error(None, in_words(refusal))
        else:
            say_queued(self, request, row, f"Import {row.pk} of {row.path}", row.expected)
        return form.is_valid()

    @admin.display(description="page")
    def page(self, row):
        return format_html('<a href="{}">{}</a>', row.sae.get_absolute_url(), row.sae) if row.sae else ""
