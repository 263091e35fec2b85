"""What a user should read of what went wrong."""

from .engine.foreign_files import in_words


class BadRequest(ValueError):
    """Something was asked that cannot be computed; the message says what can."""


class Refused(Exception):
    """What is asked cannot be answered; the message says why and what to do."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def sentence(error, job=None) -> str:
    """What a user should read of an error."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        if job is None:
            return "Out of memory. Retry when less is running, or on a machine with more."
        return f"Out of memory on {job.device} with {job.tokens:,} tokens. Retry with fewer, or elsewhere."
    if isinstance(error, (ValueError, OSError)) and str(error):
        return in_words(error)
    return in_words(f"{type(error).__name__}: {error}")


def size(count: int) -> str:
    """Bytes in a unit that reads well: 171,400,000 as "171.4 MB"."""
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:,.{min(1, power)}f} {('bytes', 'KB', 'MB', 'GB')[power]}"
