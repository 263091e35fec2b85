"""SAEs saved by SAELens 0.x (mats_sae_training): one .pt with a pickled config object beside the state_dict.

The config's class is never imported: pickles.py reads its attributes into a dict. ReLU, pre-bias b_dec.
"""

from features.engine.sae.layouts.saelens import from_config
from features.engine.sae.reading.answers import Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.recipe import Recipe, first


def recipe(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """None unless a config with a d_in lies beside W_enc and W_dec in the same pickle."""
    cfg = first(checkpoint.values.get("cfg"), checkpoint.values.get("config"))
    if not isinstance(cfg, dict) or "d_in" not in cfg or not checkpoint.has("W_enc", "W_dec"):
        return None
    result = from_config(checkpoint, answers, _completed(cfg))
    result.format = "saelens-0"
    return result


def _completed(cfg):
    """The settings of 0.x under the names of later versions."""
    d_sae = first(cfg.get("d_sae"), _times(cfg.get("d_in"), cfg.get("expansion_factor")))
    return {**cfg, "d_sae": d_sae, "normalize_activations": "none"}


def _times(d_in, factor):
    return int(d_in * factor) if isinstance(factor, int | float) else None
