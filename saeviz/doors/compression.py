"""What is sent over a thin line: pages and JSON compressed, where the browser takes that."""

from django.middleware.gzip import GZipMiddleware


class CompressionMiddleware(GZipMiddleware):
    """
    Django's, with its random bytes against BREACH. What is streamed goes as it is: a compressor holds lines of progress
    back until it has enough of them.
    """

    def process_response(self, request, response):
        return response if response.streaming else super().process_response(request, response)
