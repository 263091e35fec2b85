"""How do the learning rate and k change while tokens are read?"""


def trapezoid(done: int, budget: int, warm: int, decay: float) -> float:
    """Share of the full rate after `done` of `budget` tokens: up over `warm`, level, down to 0 over the last `decay`.

    Warmup-stable-decay (Hu et al., "MiniCPM", 2024; Haegele et al., "Scaling laws and compute-optimal training beyond
    fixed training durations", 2024). The level middle does not look at the end, so the budget may be changed there.
    """
    left = (budget - done) / (decay * budget)
    return max(0.0, min(1.0, (done + 1) / warm, left))


def geometric(done: int, first: float, last: float, over: int) -> float:
    """From `first` to `last` by equal factors over so many tokens, `last` from then on."""
    part = min(1.0, done / over)
    return first ** (1 - part) * last**part
