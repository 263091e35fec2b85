"""Has training lost its way? When the unexplained share jumps above what it has been, as it never does on its own.

Seen once: features helped back too late, an error a half larger within a million tokens, and half of the dictionary
never the same again although the error came down.
"""

from dataclasses import dataclass, field

JUMP = 4 / 3  # of its running mean: from here on the run goes back to the last checkpoint
UNEASY = 1.1  # from here on no checkpoint is made, so that the last one is from before the jump
QUICK, SLOW = 20, 250  # steps that the two running means remember


@dataclass
class JumpWatch:
    """Running means of several errors, over few steps and over many."""

    steps: int = 0
    quick: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)

    def see(self, errors: tuple[float, ...]) -> None:
        """Takes in the errors of a step; both means are exact at first."""
        self.steps += 1
        self.quick = follow(self.quick, errors, min(QUICK, self.steps))
        self.slow = follow(self.slow, errors, min(SLOW, self.steps))

    def rise(self) -> float:
        """The quick mean as a multiple of the slow one, of the error of which that is largest."""
        return max((q / s for q, s in zip(self.quick, self.slow, strict=True)), default=1.0)

    @property
    def jumped(self) -> bool:
        return not self.rise() <= JUMP  # also where an error is not a number

    @property
    def calm(self) -> bool:
        return self.rise() <= UNEASY


def follow(means: list[float], values: tuple[float, ...], memory: int) -> list[float]:
    """Running means over `memory` steps, moved towards new values."""
    return [mean + (value - mean) / memory for mean, value in zip(means or values, values, strict=True)]
