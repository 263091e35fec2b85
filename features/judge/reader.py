"""Who is reading? A signed-in user; without one, the one local reader of a site that only this machine reaches."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.urls import reverse

LOCAL = "local reader"  # no user's name has a space
NOT_SIGNED_IN = "Sign in to keep labels: this site is not for this machine alone."


@dataclass(frozen=True)
class Reader:
    """Under which name judgements are kept, and the user, where there is one."""

    name: str
    user: AbstractUser | None = None


def reader_of(request) -> Reader | None:
    """None: somebody who may look, and keep nothing."""
    if request.user.is_authenticated:
        return Reader(request.user.get_username(), request.user)
    return Reader(LOCAL) if settings.SAEVIZ_LOCAL_READER else None


def sign_in(address: str) -> str:
    """Where to sign in, to come back to this address."""
    return f"{reverse('admin:login')}?{urlencode({'next': address})}"
