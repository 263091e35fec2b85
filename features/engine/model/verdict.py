"""What was found when a model was checked: how far what is read off it is from what it computes, what is left out."""

from dataclasses import asdict, dataclass, field
from functools import cached_property

from .hook_points import layer_and_site

CHECKED = 1  # goes up when the check sees more: what an earlier one said is then not relied on


@dataclass(frozen=True)
class Verdict:
    """How far what is read off a model is from what it computes, and what is left out for it."""

    logits: float = 0.0  # largest difference
    largest_logit: float = 0.0
    losses: float = 0.0  # nats, largest difference
    maps: dict[str, float] = field(default_factory=dict)  # by site of hook_points.SITES, of the largest entry
    head: str = ""  # why losses, loss effects and logit effects are left out; empty where they are right
    sites: dict[str, str] = field(default_factory=dict)  # why loss and logit effects are left out there, by site
    norms: tuple[str, ...] = ()  # sites between which and the residual stream a norm stands
    notes: tuple[str, ...] = ()  # what was done to have the weights
    hook_points: dict[str, int] = field(default_factory=dict)  # that the loaded model has, and how wide they are
    checked: int = CHECKED

    @classmethod
    def from_dict(cls, said: dict) -> "Verdict":
        """Of `to_dict`. Raises ValueError for what another version has found."""
        if said.get("checked") != CHECKED:
            raise ValueError(f"The model was checked by version {said.get('checked')} of the check; this is {CHECKED}.")
        return cls(**said | {name: tuple(said.get(name, ())) for name in ("norms", "notes")})

    def to_dict(self) -> dict:
        return asdict(self) | {"norms": list(self.norms), "notes": list(self.notes)}

    def why_no_effects(self, hook_point: str) -> str:
        """Why an SAE at this hook point has no loss and logit effects; empty where it has."""
        return self.head or self.sites.get(layer_and_site(hook_point)[1], "")

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """All that is left out, as sentences."""
        return tuple(filter(None, (self.head, *self.sites.values())))


TRUSTED = Verdict()  # of a model that its caller knows to be right
