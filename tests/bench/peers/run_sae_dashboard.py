"""Features through SAEDashboard 0.8.0's public API, with sequences, timed. Run by its own Python, see requirements."""

from sae_dashboard.sae_vis_data import SaeVisConfig
from sae_dashboard.sae_vis_runner import SaeVisRunner
from sae_lens import SAE, HookedSAETransformer
from shared import BLOCK, HOOK, asked, histogram, logits, measured, open_model, open_rows, write

BOS = 1


def shown(data) -> dict:
    """Figures of one feature in the form that both peers are compared in; it has no loss effects."""
    top = [
        [one.original_index, one.qualifying_token_index, one.feat_acts[len(one.feat_acts) // 2], None]
        for one in data.sequence_data.seq_group_data[0].seq_data
    ]
    return dict(histogram=histogram(data.acts_histogram_data), **logits(data.logits_table_data), top=top)


def main():
    args = asked()
    model = open_model(HookedSAETransformer, args.folder / "model")
    sae = SAE.load_from_disk(str(args.folder / "sae"), device="cpu")
    tokens = open_rows(args.folder, args.rows)
    features = [int(one) for one in args.features.split(",")]

    def run(chosen):
        config = SaeVisConfig(
            hook_point=HOOK, features=chosen, minibatch_size_features=BLOCK, device="cpu", ignore_tokens={BOS}
        )
        return SaeVisRunner(config).run(encoder=sae, model=model, tokens=tokens)

    found, *seconds = measured(run, features)
    write(args.out, {feature: shown(data) for feature, data in found.feature_data_dict.items()}, *seconds)


if __name__ == "__main__":
    main()
