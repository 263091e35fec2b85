"""The site as a WSGI application; with SAEVIZ_WARM=1 it loads the first SAE while it begins to serve."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
application = get_wsgi_application()

if os.environ.get("SAEVIZ_WARM") == "1":
    from features import runtime

    runtime.warm_up()
