"""What is sent over a thin line: pages and JSON compressed, where the browser takes that."""

import re
import secrets

import brotli
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

LEAST = 200  # bytes; less does not get shorter
QUALITY = 6  # shorter than gzip, in about its time; 7 takes three times as long
TAKES_BROTLI = re.compile(r"\bbr\b(?!\s*;\s*q=0(\.0*)?(\s|,|$))")


class CompressionMiddleware(GZipMiddleware):
    """
    Django's, with its random bytes against BREACH, and brotli where that is taken (browsers do by https, and on this
    machine, to which tunnels lead). What is streamed goes as it is: a compressor holds lines of progress back until it
    has enough of them.
    """

    def process_response(self, request, response):
        if response.streaming:
            return response
        if not TAKES_BROTLI.search(request.headers.get("Accept-Encoding", "")):
            return super().process_response(request, response)
        if len(response.content) < LEAST or response.has_header("Content-Encoding"):
            return response
        patch_vary_headers(response, ("Accept-Encoding",))
        response.content = brotli.compress(
            response.content + _padding(response, self.max_random_bytes), quality=QUALITY
        )
        response.headers["Content-Length"] = str(len(response.content))
        response.headers["Content-Encoding"] = "br"
        if (etag := response.get("ETag", "")).startswith('"'):
            response.headers["ETag"] = "W/" + etag
        return response


def _padding(response, most: int) -> bytes:
    """Behind a page, which may hold secrets, a comment of random length, so that lengths tell nothing of them."""
    if not response.get("Content-Type", "").startswith("text/html"):
        return b""
    return f"<!--{secrets.token_hex(secrets.randbelow(most) // 2)}-->".encode()
