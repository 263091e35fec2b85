"""Which app answers which address."""

from django.contrib import admin
from django.urls import include, path

admin.site.site_header = admin.site.site_title = "saeviz"
admin.site.index_title = "Administration"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("features.urls")),
    path("", include("prompts.urls")),
]
