"""The paths of the project."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from clinic import views

urlpatterns = [
    path("", views.home),
    path("sign-in", LoginView.as_view(next_page="/", template_name="clinic/sign_in.html")),
    path("sign-out", LogoutView.as_view(next_page="/")),
    path("observations", views.add),
    path("observations/<int:id>", views.show),
    path("patients/<patient_id>/finish", views.finish),
    path("healthz", views.healthz),
]
