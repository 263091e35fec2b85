"""What another language throws inside a request ends that request alone.

A panic of Rust (tokenizers, safetensors) comes as a BaseException, as do those by which Python itself stops: Django
lets them pass, and a server's thread or process would end with one.
"""

from features.engine.foreign_files import is_panic


class Panic(RuntimeError):
    """A library in another language has given up; its own words follow."""


class PanicMiddleware:
    """The innermost: what it raises becomes an answer with a number, and its traceback is logged."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        try:
            return self.get_response(request)
        except BaseException as error:
            if not is_panic(error):
                raise
            raise Panic(str(error)) from error
