"""How is an SAE read that somebody else trained? `read_sae(path)`, whatever its layout."""

import json
from pathlib import Path

from safetensors.torch import load_file

from features.engine.formats.errors import CheckpointError, MissingAnswer, Question
from features.engine.sae import SAEConfig, SparseAutoencoder

__all__ = ["CheckpointError", "MissingAnswer", "Question", "read_sae"]


def read_sae(path, *, answers=None) -> SparseAutoencoder:
    """The SAE at `path` (file or folder). For now: SAELens, standard architecture."""
    path = Path(path)
    cfg = json.loads((path / "cfg.json").read_text())
    w = {name: t.float() for name, t in load_file(path / "sae_weights.safetensors").items()}
    meta = {**cfg.get("metadata", {}), **(answers or {})}
    b_enc = w["b_enc"].double()
    if cfg.get("apply_b_dec_to_input", True):
        b_enc = b_enc - w["b_dec"].double() @ w["W_enc"].double()
    config = SAEConfig(
        cfg["d_in"],
        cfg["d_sae"],
        format="saelens",
        model_name=meta.get("model_name"),
        hook_point=meta.get("hook_name"),
        prepend_bos=meta.get("prepend_bos"),
        context_size=meta.get("context_size"),
        dtype=cfg.get("dtype", "float32"),
    )
    return SparseAutoencoder(config, w["W_enc"], w["W_dec"], b_enc, w["b_dec"])
