"""How does transformer_lens open a model folder? The only file that names it; no hub is asked."""

from pathlib import Path

import torch
from torch import Tensor

from . import tl_layout
from .bridge_model import BridgeModel
from .config import ModelError, read_config
from .hugging_face import HuggingFaceWeights


def boot(folder: Path, device: str, ids: Tensor | None = None) -> BridgeModel:
    """A model from local files alone, in either form. `ids`: see BridgeModel."""
    config = read_config(folder)
    return (_boot_native if tl_layout.is_own(config) else _boot_transformers)(folder, config, device, ids)


def _boot_transformers(folder: Path, config: dict, device: str, ids: Tensor | None) -> BridgeModel:
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.model_bridge.sources._hf_format import determine_architecture_from_hf_config
    from transformer_lens.model_bridge.sources.transformers.helpers import get_hf_model_class_for_architecture
    from transformers import AutoConfig

    try:
        architecture = determine_architecture_from_hf_config(AutoConfig.from_pretrained(str(folder)))
    except ValueError as error:
        kind = config.get("model_type") or ", ".join(config.get("architectures") or ["which config.json does not name"])
        raise ModelError(
            f"The model in {folder} is of a kind, {kind}, that transformers or transformer_lens does not know."
        ) from error
    weights = HuggingFaceWeights(get_hf_model_class_for_architecture(architecture), ids)
    bridge = TransformerBridge.boot_transformers(str(folder), device=device, model_class=weights)
    return BridgeModel(bridge, folder.name, weights.notes, weights.ids, weights.logits)


def _boot_native(folder: Path, config: dict, device: str, ids: Tensor | None) -> BridgeModel:
    """A model in transformer_lens's own names; the file may leave out the unembedding's bias."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint
    from transformers import PreTrainedTokenizerFast

    tl_layout.check_settings(config)
    names = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab", "act_fn", "attn_only")
    bridge_config = TransformerBridgeConfig(
        **{name: config[name] for name in names if name in config},
        normalization_type=config.get("normalization_type", "LN"),
        positional_embedding_type=config.get("positional_embedding_type", "standard"),
        eps=config.get("eps", 1e-5),
        architecture="TransformerLensNative",
        init_weights=False,
    )
    # From the folder: made of a tokenizer_file it lacks name_or_path, a KeyError in transformer_lens 4.3.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    bridge = boot(bridge_config, tokenizer=tokenizer, device=device, model_name=folder.name)
    weights, notes = tl_layout.read_weights(folder, config)
    state = convert_tl_checkpoint(tl_layout.with_bias(weights, config["d_vocab"]), bridge_config)
    bridge.load_state_dict(state, strict=True)
    logits = None
    if ids is not None:
        ids = ids % config["d_vocab"]
        with torch.no_grad():
            logits = bridge.eval()(ids.to(device), return_type="logits", prepend_bos=False).float().cpu()
    return BridgeModel(bridge, folder.name, notes, ids, logits)
