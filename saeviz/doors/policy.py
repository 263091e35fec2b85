"""What may browsers do with the pages, and what becomes of wrong passwords? Settings of Django and its libraries."""

from datetime import timedelta

# Everything comes from the site itself, from files: no script or style stands in a page, none is made of text.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],  # data: is the pictures in stylesheets of the administration
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
}
# A browser that saw the site once speaks HTTPS to it for so long. Other names of the domain are not ours to decide.
BEHIND_TLS = {
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "USE_X_FORWARDED_HOST": True,
    "SECURE_SSL_REDIRECT": True,
    "SECURE_REDIRECT_EXEMPT": ["^health/$", "^metrics$"],
    "SECURE_HSTS_SECONDS": int(timedelta(days=30).total_seconds()),
    "SESSION_COOKIE_SECURE": True,
    "CSRF_COOKIE_SECURE": True,
    "SILENCED_SYSTEM_CHECKS": ["security.W005", "security.W021"],
}
# The same name from the same address may be wrong so often; then it waits. Others log in meanwhile.
LOG_IN = {
    "AXES_FAILURE_LIMIT": 8,
    "AXES_COOLOFF_TIME": timedelta(minutes=10),
    "AXES_LOCKOUT_PARAMETERS": [["username", "ip_address"]],
    "AXES_LOCKOUT_CALLABLE": "saeviz.doors.refusals.locked_out",
    "AXES_CLIENT_IP_CALLABLE": "saeviz.doors.proxy.address_of",
    "AXES_RESET_ON_SUCCESS": True,
    "AXES_ENABLE_ADMIN": False,
    "AXES_VERBOSE": False,
    "AXES_SENSITIVE_PARAMETERS": ["username", "password"],
}


def not_guessed(headers, path: str, url: str) -> None:
    """A script or style is what its name says, and nothing that a browser would guess (WhiteNoise's hook)."""
    headers["X-Content-Type-Options"] = "nosniff"
