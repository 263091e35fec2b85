"""Cosines of decoder rows beside an answer are those of every other panel."""

import pytest
import torch

from features.engine import reference
from features.engine.ask.near_misses import decoder_cosines
from features.engine.sae.sae import SAEConfig, SparseAutoencoder


@pytest.mark.parametrize("feature", [0, 2])
def test_a_decoder_row_of_zeros_has_a_cosine_of_zero_as_in_its_definition(feature):
    W_dec = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    W_dec[2] = 0
    sae = SparseAutoencoder(SAEConfig(d_in=3, d_sae=5), W_dec.T, W_dec, torch.zeros(5), torch.zeros(3))
    exact = reference.decoder_cosine(W_dec[feature : feature + 1].double(), W_dec.double())[0]
    assert decoder_cosines(sae, feature, [0, 1, 2, 3, 4]) == pytest.approx(exact.numpy(), abs=1e-6)
