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
    if _is_out_of_memory(error):
        if job is None:
            return "Out of memory. Retry when less is running, with a larger SAEVIZ_MEMORY, or on a machine with more."
        return f"Out of memory on {job.device} with {job.tokens:,} tokens. Retry with fewer, or elsewhere."
    if isinstance(error, (ValueError, OSError)) and str(error):
        return in_words(error)
    return in_words(f"{type(error).__name__}: {error}")


def _is_out_of_memory(error) -> bool:
    """Of Python, of a GPU, or of torch on a CPU, which has no class of its own for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def size(count: int) -> str:
    """Bytes in a unit that reads well: 171,400,000 as "171.4 MB"."""
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:,.{min(1, power)}f} {('bytes', 'KB', 'MB', 'GB')[power]}"
