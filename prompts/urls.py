"""Addresses of the prompt side."""

from django.urls import path

from . import views

app_name = "prompts"

urlpatterns = [
    path("saes/<slug:slug>/prompt/", views.prompt, name="prompt"),
    path("saes/<slug:slug>/features/<int:index>/without/", views.without, name="without"),
    path("saes/<slug:slug>/features/stored.json", views.stored_json, name="stored"),
    path("saes/<slug:slug>/model.json", views.model_json, name="model-json"),
    path("saes/<slug:slug>/features/<int:index>/try/", views.try_text, name="try"),
]
