"""Is what is read off a model what it computes? One check settles every family, also those that nobody thought of.

Random ids and a row of text go through the model by its own library's class (transformers, or transformer_lens for
models in its own names), and in the way that figures here come about: final residual, norm, unembedding, output maps.
What differs is named, and the figures that rest on it are left out.
"""

import torch
from torch import Tensor

from .config import ModelError, context_length
from .hook_points import SITES, layer_and_site
from .language_model import load_model
from .verdict import Verdict
from .vocabulary import Vocabulary

TOKENS = 64  # of each of the two rows
ALLOWED, ALLOWED_SHARE = 1e-3, 1e-4  # a difference of logits: the larger of this, and this share of the largest logit
ROUNDING = 1e-6  # of the largest entry of a sum in float32
TEXT = (  # Lewis Carroll, Alice's Adventures in Wonderland (1865)
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or "
    "twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, “and "
    "what is the use of a book,” thought Alice, “without pictures or conversations?”\n\nSo she was considering in her "
    "own mind (as well as she could, for the hot day made her feel very sleepy and stupid), whether the pleasure of "
    "making a daisy-chain would be worth the trouble of getting up and picking the daisies, when suddenly a White "
    "Rabbit with pink eyes ran close by her."
)


def load_checked(folder, device: str, vocabulary: Vocabulary):
    """(model, Verdict). Raises ModelError where it cannot be loaded, or its hook points cannot be relied on."""
    model = load_model(folder, device, _ids(vocabulary.ids(TEXT), folder))
    verdict = check_model(model)
    model.ids = model.own_logits = None  # as wide as the vocabulary
    return model, verdict


def find_verdict(folder, text: list[int]) -> Verdict:
    """The same without the model, for a process of its own; `text` are the ids of TEXT. Raises ModelError."""
    return check_model(load_model(folder, "cpu", _ids(text, folder)))


def _ids(text: list[int], folder) -> Tensor:
    """Random ids and a row of text, as many tokens of each as the model reads. [2, TOKENS]"""
    length = min(TOKENS, context_length(folder) or TOKENS)
    text = torch.tensor((text * TOKENS)[:length])
    generator = torch.Generator().manual_seed(0)
    # Within the text's: a model may have fewer outputs than its tokenizer has tokens.
    random = torch.randint(0, int(text.max()) + 1, (length,), generator=generator)
    return torch.stack([random, text])


@torch.no_grad()
def check_model(model) -> Verdict:
    """Of a model that was loaded with ids to compare on. Raises ModelError where the pass through hook points gives
    other logits than the model's own library."""
    if model.own_logits is None:  # run by the engine's own formula, which a test holds to transformer_lens's
        return Verdict(notes=model.notes, hook_points=dict(model.hook_points))
    ids = model.ids
    seen, logits = model.everything(ids)
    residual = seen[f"blocks.{model.n_layers - 1}.hook_resid_post"]
    logits, own = logits.cpu(), model.own_logits
    allowed = max(ALLOWED, ALLOWED_SHARE * _largest(own))
    if not own.isfinite().all():
        raise ModelError(f"{model.name} computes logits that are no numbers: are its weights damaged?")
    if not (off := _largest(logits - own)) <= allowed:  # so that NaN is none of those that agree
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
    return Verdict(
        logits=off,
        largest_logit=_largest(own),
        losses=losses_off,
        maps=maps,
        head="" if off <= allowed and losses_off <= allowed else _head_sentence(model, off, _largest(own), losses_off),
        sites={site: _site_sentence(site, share) for site, share in maps.items() if not share <= ALLOWED},
        norms=tuple(dict.fromkeys(layer_and_site(hook)[1] for hook in model.hook_points if model.norm_follows(hook))),
        notes=model.notes,
        hook_points=dict(model.hook_points),
    )


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _maps(model, seen: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference between what a hook point is said to add to the residual stream and what is added, as a share
    of the largest entry, by site, of all layers."""
    worst, carried = {}, [_carried(seen, layer) for layer in range(model.n_layers)]
    for hook in model.hook_points:
        layer, site = layer_and_site(hook)
        share = carried[layer]
        if SITES[site].component:
            outer = f"blocks.{layer}." + ("hook_mlp_out" if site.startswith("mlp") else "hook_attn_out")
            share = max(share, _share(model.contribution(hook, seen[hook]), seen[outer]))
        worst[site] = max(worst.get(site, 0.0), share)
    return worst


def _carried(seen: dict[str, Tensor], layer: int) -> float:
    """The same of a block, which carries the residual stream on and adds what attention and MLP write: their sum
    against what is added. 0 where it has not both."""
    sites = ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
    before, after, attention, mlp = (seen.get(f"blocks.{layer}.{site}") for site in sites)
    if attention is None or mlp is None:
        return 0.0
    # A stream may be thousands of times as large as what a block adds: its last bits are no fault.
    return _share(attention + mlp, after - before, rounding=ROUNDING * _largest(after))


def _share(said: Tensor, added: Tensor, rounding: float = 0.0) -> float:
    return max(_largest(said - added) - rounding, 0.0) / max(_largest(added), torch.finfo(added.dtype).tiny)


def _head_sentence(model, off: float, largest: float, losses: float) -> str:
    return (
        f"Final norm and unembedding of {model.name} could not be read: logits differ from its own by {off:.2g} "
        f"where the largest is {largest:.2g}, losses by {losses:.2g} nats. Losses, loss effects and logit effects are "
        "left out."
    )


def _site_sentence(site: str, share: float) -> str:
    return (
        f"What a feature at {site} adds to the residual stream could not be read: blocks add something else, by "
        f"{share:.1%} of the largest entry. Loss effects and logit effects are left out there."
    )
