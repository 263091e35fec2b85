"""A TopK SAE trained, or read and measured, by SAELens 6. Run by its own Python, see requirements."""

import torch
from real_shared import asked, measure, open_model, open_rows, training_batches
from sae_lens import SAE, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import SAEMetadata
from sae_lens.training.sae_trainer import SAETrainer


def train(args, model, rows):
    batches = training_batches(model, args.module, rows, args.batch)
    layer = int(args.module.rpartition(".")[2])
    metadata = SAEMetadata(model_name=args.model.name, hook_name=f"blocks.{layer}.hook_resid_post", prepend_bos=True)
    config = TopKTrainingSAEConfig(d_in=next(batches).shape[1], d_sae=args.d_sae, k=args.k, metadata=metadata)
    settings = SAETrainerConfig(
        total_training_samples=args.steps * args.batch, train_batch_size_samples=args.batch, lr=1e-3, lr_end=1e-4
    )
    sae = SAETrainer(settings, TopKTrainingSAE(config), batches).fit()
    sae.save_inference_model(args.sae)


def main():
    args = asked()
    model, rows = open_model(args.model), open_rows(args.rows)
    if args.do == "train":
        return train(args, model, rows)
    sae = SAE.load_from_disk(args.sae)
    with torch.no_grad():
        measure(model, args.module, rows, sae.encode, sae.decode, args.out)


if __name__ == "__main__":
    main()
