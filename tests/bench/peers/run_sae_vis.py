"""Features through sae_vis 0.3.7's public API, with sequences, timed. Run by its own Python, see requirements."""

import json

import torch
from sae_lens import SAE, HookedSAETransformer, SAEConfig
from sae_vis.data_config_classes import SaeVisConfig
from sae_vis.data_storing_fns import SaeVisData
from safetensors.torch import load_file
from shared import BLOCK, HOOK, asked, histogram, logits, measured, open_model, open_rows, write


def open_sae(folder):
    config = json.loads((folder / "cfg.json").read_text())
    sae = SAE(
        SAEConfig(
            architecture="standard", d_in=config["d_in"], d_sae=config["d_sae"], activation_fn_str="relu",
            apply_b_dec_to_input=True, finetuning_scaling_factor=False, context_size=128, model_name="made",
            hook_name=HOOK, hook_layer=0, hook_head_index=None, prepend_bos=True, dataset_path="made",
            dataset_trust_remote_code=False, normalize_activations="none", sae_lens_training_version=None,
            dtype="float32", device="cpu",
        )
    )  # fmt: skip
    sae.load_state_dict(load_file(folder / "sae_weights.safetensors"))
    return sae


def shown(data) -> dict:
    """Figures of one feature in the form that both peers are compared in."""
    top = [
        [*json.loads("[" + one.token_posns[middle].strip("()") + "]"), one.feat_acts[middle], one.loss_contribution]
        for one in data["seqMultiGroup"].seq_group_data[0].seq_data
        for middle in [len(one.token_ids) // 2]
    ]
    return dict(histogram=histogram(data["actsHistogram"]), **logits(data["logitsTable"]), top=top)


def main():
    args = asked()
    model, sae = open_model(HookedSAETransformer, args.folder / "model"), open_sae(args.folder / "sae")
    tokens = open_rows(args.folder, args.rows)
    features = [int(one) for one in args.features.split(",")]

    def run(chosen):
        # BOS is left out, as in saeviz; correlations here see it all the same.
        config = SaeVisConfig(features=chosen, minibatch_size_features=BLOCK, seqpos_slice=(1, None, None))
        return SaeVisData.create(sae=sae, model=model, tokens=tokens, cfg=config)

    with torch.inference_mode():
        found, *seconds = measured(run, features)
    write(args.out, {feature: shown(data) for feature, data in found.feature_data_dict.items()}, *seconds)


if __name__ == "__main__":
    main()
