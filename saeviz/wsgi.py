"""The site as a WSGI application; with SAEVIZ_WARM=1 it loads the first SAE once it has answered a page."""

import os

from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
application = get_wsgi_application()


def warm_up(**_):
    """Not before the first answer: importing torch would make its reader wait a third longer."""
    from features import runtime

    request_finished.disconnect(dispatch_uid="warm-up")
    runtime.warm_up()


if os.environ.get("SAEVIZ_WARM") == "1":
    request_finished.connect(warm_up, dispatch_uid="warm-up")
