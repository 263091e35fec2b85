"""Which page of the feature browser answers which address."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from .browse import views
from .importing import views as import_views
from .jobs import views as job_views


class Number(IntConverter):
    """With a sign: a number below the first feature is told the range, as one beyond the last."""

    regex = "-?[0-9]+"


register_converter(Number, "number")

app_name = "features"
urlpatterns = [
    path("", views.home, name="home"),
    path("saes/<slug:slug>/", views.sae, name="sae"),
    path("saes/<slug:slug>/features/", views.table, name="table"),
    path("saes/<slug:slug>/features/random/", views.random, name="random"),
    path("saes/<slug:slug>/features/<number:index>/", views.feature, name="feature"),
    path("saes/<slug:slug>/features/<number:index>.json", views.feature_json, name="feature-json"),
    path("saes/<slug:slug>/jobs.json", job_views.newest, name="jobs-json"),
    path("saes/<slug:slug>/verify/", import_views.verify, name="verify"),
    path("imports/<int:id>.json", import_views.import_json, name="import-json"),
    path("imports/<int:id>/cancel/", import_views.cancel, name="import-cancel"),
    path("imports/<int:id>/retry/", import_views.retry, name="import-retry"),
    path("jobs/<int:id>.json", job_views.job, name="job-json"),
    path("jobs/<int:id>/cancel/", job_views.cancel, name="job-cancel"),
    path("jobs/<int:id>/retry/", job_views.retry, name="job-retry"),
]
