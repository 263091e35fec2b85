"""What is looked at: a model, an SAE on one of its hook points, and the tokenizer between text and both."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .kernels.transfers import to_device
from .model import hook_points, language_model
from .model.model_check import load_checked
from .model.verdict import TRUSTED, Verdict
from .model.vocabulary import Vocabulary
from .sae.checkpoint import read_sae
from .sae.sae import SparseAutoencoder

ROWS = 4096  # of the decoder, copied at a time
PADDING = 1024  # outputs that models may have beyond their tokens, so that their number is round


class SubjectError(ValueError):
    """A model and an SAE that do not belong together."""


@dataclass(frozen=True)
class Subject:
    """Text -> tokens -> activations at the hook point -> feature activations."""

    model: object  # see model/language_model.py
    sae: SparseAutoencoder
    hook_point: str
    vocabulary: Vocabulary
    verdict: Verdict = TRUSTED  # what was found of the model: some figures may rest on what could not be read

    def __post_init__(self):
        self._refuse_other_tokens()
        widths = self.model.hook_points
        if self.hook_point not in widths:
            raise SubjectError(
                f"The model has no hook point {self.hook_point!r}; of width {self.sae.config.d_in:,} are "
                f"{_names_of_width(widths, self.sae.config.d_in)}."
            )
        if widths[self.hook_point] != self.sae.config.d_in:
            raise SubjectError(
                f"The SAE reads {self.sae.config.d_in:,} values, {self.hook_point} has "
                f"{widths[self.hook_point]:,}; of the SAE's width are {_names_of_width(widths, self.sae.config.d_in)}."
            )

    def _refuse_other_tokens(self) -> None:
        """Outputs are padded to round numbers, and special tokens may be added that no text comes to. Raises
        SubjectError where that explains no difference."""
        tokens, outputs = self.vocabulary.ordinary_size, self.model.d_vocab
        if tokens > outputs:
            raise SubjectError(
                f"The tokenizer has ids up to {tokens - 1:,}, the model {outputs:,} outputs, 0 to {outputs - 1:,}: "
                "they are not of one model. Put the model's own tokenizer beside its weights."
            )
        if outputs - self.vocabulary.size > max(PADDING, self.vocabulary.size):
            raise SubjectError(
                f"The model has {outputs:,} outputs, the tokenizer {self.vocabulary.size:,} ids, less than half: "
                "they are not of one model. Put the model's own tokenizer beside its weights."
            )

    @classmethod
    def load(
        cls,
        model_path,
        sae_path,
        hook_point: str,
        device="auto",
        answers=None,
        verdict: Verdict | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> "Subject":
        """Open both from disk. The model is checked against its own library, unless what was found of it is given; its
        tokenizer is read here, unless its vocabulary is given.

        Raises ModelError, CheckpointError, TokenizerMissing or SubjectError.
        """
        # The tokenizer first: where it is missing, no weights have been read in vain.
        vocabulary = vocabulary or Vocabulary.load(model_path)
        if verdict is None:
            model, verdict = load_checked(model_path, device, vocabulary)
        else:
            model = language_model.load_model(model_path, device)
        return cls(model, read_sae(sae_path, answers=answers).to(model.device), hook_point, vocabulary, verdict)

    @property
    def device(self):
        return self.sae.device

    @property
    def d_sae(self) -> int:
        return self.sae.config.d_sae

    @property
    def reads_neurons(self) -> bool:
        return hook_points.is_neurons(self.hook_point)

    @property
    def total_effect(self) -> bool:
        """Whether nothing but the final norm and unembedding comes after: then direct and total effect agree."""
        layer, site = hook_points.layer_and_site(self.hook_point)
        # The scale of a norm between hook point and residual stream is kept as it was.
        if self.model.norm_follows(self.hook_point):
            return False
        # At a site in front of its block's MLP a direction also acts through that MLP.
        return layer == self.model.n_layers - 1 and hook_points.SITES[site].is_after_mlp

    @cached_property
    def why_no_losses(self) -> str:
        """Why there are no losses; empty where there are."""
        return self.verdict.head

    @cached_property
    def why_no_effects(self) -> str:
        """Why there are no loss effects and no logit effects; empty where there are."""
        return self.verdict.why_no_effects(self.hook_point)

    def tokens(self, ids) -> Tensor:
        """Ids of one or several sequences as a batch on the device. [batch, seq] int64"""
        return to_device(torch.atleast_2d(torch.as_tensor(ids, dtype=torch.long)), self.device)

    def activations(self, ids) -> Tensor:
        """Activations at the hook point. [batch, seq, d_in]"""
        return self.model.activations(self.tokens(ids), self.hook_point)

    def activations_and_residual(self, ids) -> tuple[Tensor, Tensor]:
        """The same, and the final residual. [batch, seq, d_in], [batch, seq, d_model]"""
        return self.model.activations_and_residual(self.tokens(ids), self.hook_point)

    def output_directions(self, features) -> Tensor:
        """What chosen features write into the residual stream per unit, a copy; on a token, times `output_scale`.
        [n, d_model]

        Same as reference.output_directions: float32 rounding.
        """
        # From neurons through W_out, from heads through W_O; in the residual stream the decoder row is the direction.
        through = self.model.output_map(self.hook_point)
        batches = torch.as_tensor(features, device=self.device).split(ROWS)
        rows = (self.sae.W_dec[batch] for batch in batches)  # [<= ROWS, d_in] each
        return torch.cat([batch if through is None else batch @ through for batch in rows])

    def output_scale(self, h: Tensor) -> Tensor:
        """What a unit of activation counts on each token, for activations at the hook point: more or less than 1 under
        an input norm of the SAE, or in front of a norm of the model. [..., d_in] -> [...]"""
        scale = self.sae.output_scale(h)[..., 0]
        norm = self.model.output_scale(self.hook_point, h)
        return scale if norm is None else scale / norm


def _names_of_width(widths: dict[str, int], width: int) -> str:
    return ", ".join(name for name, size in widths.items() if size == width) or "none"
