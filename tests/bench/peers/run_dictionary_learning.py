"""A BatchTopK SAE trained, or read and measured, by dictionary_learning. Run by its own Python, see requirements."""

import torch
from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
from dictionary_learning.training import trainSAE
from dictionary_learning.utils import load_dictionary
from real_shared import asked, measure, open_model, open_rows, training_batches


def train(args, model, rows):
    batches = training_batches(model, args.module, rows, args.batch)
    config = dict(
        trainer=BatchTopKTrainer, steps=args.steps, activation_dim=next(batches).shape[1], dict_size=args.d_sae,
        k=args.k, layer=int(args.module.rpartition(".")[2]), lm_name=args.model.name, lr=1e-3, warmup_steps=20,
        threshold_start_step=args.steps // 2, threshold_beta=0.9, device="cpu", submodule_name="resid_post",
    )  # fmt: skip
    trainSAE(batches, [config], args.steps, save_dir=str(args.sae), device="cpu")


def main():
    args = asked()
    model, rows = open_model(args.model), open_rows(args.rows)
    if args.do == "train":
        return train(args, model, rows)
    sae, _ = load_dictionary(str(args.sae), "cpu")
    with torch.no_grad():
        measure(model, args.module, rows, sae.encode, sae.decode, args.out)


if __name__ == "__main__":
    main()
