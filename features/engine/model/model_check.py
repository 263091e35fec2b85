"""Is what is read off a model what it computes? One check settles every family, also those that nobody thought of.

Random ids and a row of text go through the model by its own library's class (transformers, or transformer_lens for
models in its own names), and in the way that figures here come about: final residual, norm, unembedding, output maps.
What differs is named, and the figures that rest on it are left out.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .config import ModelError, context_length
from .hook_points import SITES, layer_and_site
from .language_model import load_model
from .vocabulary import Vocabulary

CHECKED = 1  # goes up when the check sees more: what an earlier one said is then not relied on
TOKENS = 64  # of each of the two rows
ALLOWED, ALLOWED_SHARE = 1e-3, 1e-4  # a difference of logits: the larger of this, and this share of the largest logit
TEXT = (  # Lewis Carroll, Alice's Adventures in Wonderland (1865)
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or "
    "twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, “and "
    "what is the use of a book,” thought Alice, “without pictures or conversations?”\n\nSo she was considering in her "
    "own mind (as well as she could, for the hot day made her feel very sleepy and stupid), whether the pleasure of "
    "making a daisy-chain would be worth the trouble of getting up and picking the daisies, when suddenly a White "
    "Rabbit with pink eyes ran close by her."
)


@dataclass(frozen=True)
class ModelCheck:
    """How far what is read off a model is from what it computes, and what is left out for it."""

    logits: float = 0.0  # largest difference
    largest_logit: float = 0.0
    losses: float = 0.0  # nats, largest difference
    maps: dict[str, float] = field(default_factory=dict)  # by site of hook_points.SITES, of the largest entry
    head: str = ""  # why losses, loss effects and logit effects are left out; empty where they are right
    sites: dict[str, str] = field(default_factory=dict)  # why loss and logit effects are left out there, by site
    notes: tuple[str, ...] = ()  # what was done to have the weights
    hook_points: dict[str, int] = field(default_factory=dict)  # that the loaded model has, and how wide they are
    checked: int = CHECKED

    @classmethod
    def from_dict(cls, said: dict) -> "ModelCheck":
        """Of `to_dict`. Raises TypeError for another version's."""
        return cls(**said | {"notes": tuple(said.get("notes", ()))})

    def to_dict(self) -> dict:
        return asdict(self) | {"notes": list(self.notes)}

    def why_no_effects(self, hook_point: str) -> str:
        """Why an SAE at this hook point has no loss and logit effects; empty where it has."""
        return self.head or self.sites.get(layer_and_site(hook_point)[1], "")

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """All that is left out, as sentences."""
        return tuple(filter(None, (self.head, *self.sites.values())))


TRUSTED = ModelCheck()  # of a model that its caller knows to be right


def load_checked(folder, device: str, vocabulary: Vocabulary):
    """(model, ModelCheck). Raises ModelError where it cannot be loaded, or its hook points cannot be relied on."""
    model = load_model(folder, device, _ids(vocabulary, folder))
    return model, check_model(model)


def _ids(vocabulary: Vocabulary, folder) -> Tensor:
    """Random ids and a row of text, as many tokens of each as the model reads. [2, TOKENS]"""
    length = min(TOKENS, context_length(folder) or TOKENS)
    text = torch.tensor((vocabulary.ids(TEXT) * TOKENS)[:length])
    generator = torch.Generator().manual_seed(0)
    # Within the text's: a model may have fewer outputs than its tokenizer has tokens.
    random = torch.randint(0, int(text.max()) + 1, (length,), generator=generator)
    return torch.stack([random, text])


@torch.no_grad()
def check_model(model) -> ModelCheck:
    """Of a model that was loaded with ids to compare on. Raises ModelError where the pass through hook points gives
    other logits than the model's own library."""
    if model.own_logits is None:  # run by the engine's own formula, which a test holds to transformer_lens's
        return ModelCheck(notes=model.notes, hook_points=dict(model.hook_points))
    ids = model.ids
    seen, logits = model.everything(ids)
    residual = seen[f"blocks.{model.n_layers - 1}.hook_resid_post"]
    logits, own = logits.cpu(), model.own_logits
    allowed = max(ALLOWED, ALLOWED_SHARE * _largest(own))
    if not own.isfinite().all():
        raise ModelError(f"{model.name} computes logits that are no numbers: are its weights damaged?")
    if (off := _largest(logits - own)) > allowed:
        raise ModelError(
            f"With hooks {model.name} computes other logits than its own library, by {off:.2g} where the largest is "
            f"{_largest(own):.2g}: its activations cannot be relied on. transformer_lens does not know this kind of "
            "model well enough."
        )
    ours = model.unembedding.logits(residual).cpu()
    targets = ids[:, 1:].flatten()
    losses = model.unembedding.losses(residual[:, :-1].flatten(0, 1), targets.to(residual.device)).cpu()
    own_losses = torch.nn.functional.cross_entropy(own[:, :-1].flatten(0, 1), targets, reduction="none")
    off, losses_off = _largest(ours - own), _largest(losses - own_losses)
    maps = _maps(model, seen)
    return ModelCheck(
        logits=off,
        largest_logit=_largest(own),
        losses=losses_off,
        maps=maps,
        head=_head_sentence(model, off, _largest(own), losses_off) if max(off, losses_off) > allowed else "",
        sites={site: _site_sentence(site, share) for site, share in maps.items() if not share <= ALLOWED},
        notes=model.notes,
        hook_points=dict(model.hook_points),
    )


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _maps(model, seen: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference between what a hook point is said to add to the residual stream and what is added, as a share
    of the largest entry, by site, of all layers."""
    worst = {}
    for hook in model.hook_points:
        layer, site = layer_and_site(hook)
        block = f"blocks.{layer}."
        parts = [block + part for part in ("hook_attn_out", "hook_mlp_out")]
        if SITES[site].component:
            said, added = model.contribution(hook, seen[hook]), seen[parts[site.startswith("mlp")]]
        elif hook in parts and all(part in seen for part in parts):
            # Both together are what the block adds.
            said = seen[parts[0]] + seen[parts[1]]
            added = seen[f"{block}hook_resid_post"] - seen[f"{block}hook_resid_pre"]
        else:
            continue
        share = _largest(said - added) / max(_largest(added), torch.finfo(added.dtype).tiny)
        worst[site] = max(worst.get(site, 0.0), share)
    return worst


def _head_sentence(model, off: float, largest: float, losses: float) -> str:
    return (
        f"Final norm and unembedding of {model.name} could not be read: logits differ from its own by {off:.2g} "
        f"where the largest is {largest:.2g}, losses by {losses:.2g} nats. Losses, loss effects and logit effects are "
        "left out."
    )


def _site_sentence(site: str, share: float) -> str:
    return (
        f"What this model adds to its residual stream at {site} could not be read: it differs by {share:.0%} of the "
        "largest entry. Loss effects and logit effects are left out there."
    )
