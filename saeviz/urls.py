"""Which app answers which address."""

from django.contrib import admin
from django.urls import include, path

from .kept import views as kept
from .observability import views

admin.site.site_header = admin.site.site_title = "saeviz"
admin.site.index_title = "Administration"

handler500 = "saeviz.observability.errors.server_error"

urlpatterns = [
    path("health/", views.health_json, name="health"),
    path("metrics", views.metrics, name="metrics"),
    path("admin/kept/", admin.site.admin_view(kept.kept), name="kept"),
    path("admin/kept/remove/", admin.site.admin_view(kept.remove), name="kept-remove"),
    path("admin/", admin.site.urls),
    path("", include("features.urls")),
    path("", include("prompts.urls")),
]
