"""What may a browser load or run because of an answer? Of pages what the policy says; of data nothing at all, in fewer
bytes: a dozen answers of JSON come with a page."""

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.conf import settings

NOTHING = "default-src 'none'; frame-ancestors 'none'"


class PagePolicyMiddleware(CSPMiddleware):
    """django-csp's, and a policy of one line on JSON."""

    def process_response(self, request, response):
        is_data = response.get("Content-Type", "").startswith("application/json")
        if is_data and settings.CONTENT_SECURITY_POLICY:
            response.headers.setdefault(HEADER, NOTHING)
        return super().process_response(request, response)
