"""Which page of the feature browser answers which address."""

from django.urls import path, re_path, register_converter
from django.urls.converters import IntConverter

from .ask import claims as claim_views
from .ask import live as live_views
from .ask import views as ask_views
from .ask.by_examples import by_examples
from .ask.explained import explained_json
from .autointerp import views as autointerp_views
from .browse import views
from .grading import views as grading_views
from .jobs import status
from .jobs import views as job_views
from .judge import views as judge_views
from .overview import views as overview_views
from .runs import views as run_views
from .runs.beside import views as beside_views


class Number(IntConverter):
    """With a sign: a number below the first feature is told the range, as one beyond the last."""

    regex = "-?[0-9]+"


register_converter(Number, "number")

app_name = "features"
urlpatterns = [
    path("", views.home, name="home"),
    path("saes/<slug:slug>/", views.sae, name="sae"),
    path("saes/<slug:slug>.json", views.sae_json, name="sae-json"),
    path("saes/<slug:slug>/ask/", ask_views.ask, name="ask"),
    path("saes/<slug:slug>/ask/examples/", by_examples, name="ask-by-examples"),
    path("saes/<slug:slug>/ask/near.json", live_views.near_json, name="ask-near"),
    path("saes/<slug:slug>/ask.progress", ask_views.ask_progress, name="ask-progress"),
    path("saes/<slug:slug>/ask.json", ask_views.ask_json, name="ask-json"),
    path("saes/<slug:slug>/features/", views.table, name="table"),
    path("saes/<slug:slug>/features/<number:index>/compare/", overview_views.compare, name="compare"),
    path("saes/<slug:slug>/overview/", overview_views.overview, name="overview"),
    path("saes/<slug:slug>/overview/map/", overview_views.request_map, name="overview-request-map"),
    path("saes/<slug:slug>/overview/map/<int:id>.f32", overview_views.map_file, name="overview-map"),
    path("saes/<slug:slug>/overview/listed.u32", overview_views.listed, name="overview-listed"),
    path("saes/<slug:slug>/overview/<slug:name>.f32", overview_views.column, name="overview-column"),
    re_path(r"^saes/(?P<slug>[-\w]+)/features\.(?P<form>csv|json|parquet)$", views.table_file, name="table-file"),
    path("saes/<slug:slug>/features/random/", views.random, name="random"),
    path("saes/<slug:slug>/features/passing.json", views.passing_json, name="passing-json"),
    path("saes/<slug:slug>/features/<number:index>/", views.feature, name="feature"),
    path("saes/<slug:slug>/features/<number:index>.json", views.feature_json, name="feature-json"),
    path("saes/<slug:slug>/features/<number:index>/claims/", claim_views.claim, name="claim"),
    path("saes/<slug:slug>/features/<number:index>/explained.json", explained_json, name="explained-json"),
    path("saes/<slug:slug>/claims.json", claim_views.claims_json, name="claims-json"),
    path("saes/<slug:slug>/claims/<int:id>/remove/", claim_views.remove, name="claim-remove"),
    path("saes/<slug:slug>/labels/", judge_views.labels, name="labels"),
    path("saes/<slug:slug>/labels/<number:index>.json", judge_views.feature_labels, name="feature-labels"),
    path("saes/<slug:slug>/labels/stars.json", judge_views.stars, name="stars"),
    path("saes/<slug:slug>/labels/<number:index>/reject/", judge_views.reject, name="label-reject"),
    path("saes/<slug:slug>/autointerp/", autointerp_views.autointerp, name="autointerp"),
    path("saes/<slug:slug>/autointerp/<int:id>/go-on/", autointerp_views.go_on, name="autointerp-go-on"),
    path("saes/<slug:slug>/labels/import/", judge_views.bring, name="labels-import"),
    path("saes/<slug:slug>/labels/findings/", judge_views.write_findings, name="labels-write-findings"),
    path("saes/<slug:slug>/labels/findings.json", judge_views.findings, name="labels-findings"),
    re_path(r"^saes/(?P<slug>[-\w]+)/labels\.(?P<form>json|csv)$", judge_views.export, name="labels-export"),
    path("saes/<slug:slug>/features/<number:index>/training.json", run_views.training_json, name="training-json"),
    path("saes/<slug:slug>/features/<number:index>/beside/", beside_views.beside, name="beside"),
    path("saes/<slug:slug>/beside/", beside_views.dictionaries_page, name="dictionaries"),
    path("saes/<slug:slug>/beside/compare/", beside_views.compare, name="dictionaries-compare"),
    path("runs/", run_views.runs, name="runs"),
    path("runs/upload/<str:step>/", run_views.upload, name="run-upload"),
    path("runs/upload/<str:step>/<str:name>", run_views.upload, name="run-upload-file"),
    path("runs/<slug:slug>/", run_views.run, name="run"),
    path("runs/<slug:slug>/log.json", run_views.log_json, name="run-log"),
    path("runs/<slug:slug>/claims/", run_views.test_claims, name="run-claims"),
    path("runs/<slug:slug>.json", run_views.run_json, name="run-json"),
    path("runs/<slug:slug>/<int:id>/", run_views.checkpoint, name="checkpoint"),
    path("runs/<slug:slug>/<int:id>/star/", run_views.star, name="checkpoint-star"),
    path("saes/<slug:slug>/grading/", grading_views.gradings, name="gradings"),
    path("grading/<uuid:key>/", grading_views.grade, name="grading"),
    path("grading/<uuid:key>/<int:number>.json", grading_views.grade_item, name="grading-item"),
    path("grading/<uuid:key>/result/", grading_views.result, name="grading-result"),
    path("grading/<uuid:key>/labels/", grading_views.to_labels, name="grading-labels"),
    path("grading/<uuid:key>/answers.json", grading_views.export, {"form": "json"}, name="grading-json"),
    path("grading/<uuid:key>/answers.csv", grading_views.export, {"form": "csv"}, name="grading-csv"),
    path("saes/<slug:slug>/jobs.json", job_views.newest_job, name="jobs-json"),
    path("saes/<slug:slug>/verify/", job_views.verify, name="verify"),
]
for kind, model in status.KINDS.items():
    kinds = model._meta.verbose_name_plural
    urlpatterns += [
        path(f"{kinds}/<int:id>.json", job_views.work_json, {"kind": kind}, name=f"{kind}-json"),
        path(f"{kinds}/<int:id>/cancel/", job_views.cancel, {"kind": kind}, name=f"{kind}-cancel"),
        path(f"{kinds}/<int:id>/retry/", job_views.retry, {"kind": kind}, name=f"{kind}-retry"),
    ]
