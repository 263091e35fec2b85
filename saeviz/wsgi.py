"""The site as a WSGI application; with SAEVIZ_WARM=1 it loads the first SAE once it has answered a page."""

import os
import sys

from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application

from .env import InvalidSetting

STOPS_THE_SERVER = 3  # servers with several processes start one that ends otherwise again and again

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
try:
    application = get_wsgi_application()
except InvalidSetting as error:
    print(error, file=sys.stderr)
    sys.exit(STOPS_THE_SERVER)

# The settings have read it; servers would put it in front of paths that a proxy has taken it off.
os.environ.pop("SCRIPT_NAME", None)


def warm_up(**_):
    """Not before the first answer: importing torch would make its reader wait a third longer."""
    from features import runtime

    request_finished.disconnect(dispatch_uid="warm-up")
    runtime.warm_up()


if os.environ.get("SAEVIZ_WARM") == "1":
    request_finished.connect(warm_up, dispatch_uid="warm-up")
