"""SAELens trains a few steps, saeviz's callback beside it: `callback_sae_lens.py ACTIVATIONS OUT`, by its own Python.

ACTIVATIONS is an .npy [n, d_in], beside it lies saeviz_callback.py. Below OUT a folder for each architecture has the
checkpoints, and its encoded.npy what SAELens's own loader makes of the last one's first activations.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

STEPS, BATCH, D_SAE, HOOK = 30, 64, 128, "blocks.0.mlp.hook_post"
KINDS = {
    "standard": (StandardTrainingSAE, StandardTrainingSAEConfig, {"l1_coefficient": 0.01}),
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig, {"k": 8}),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 8}),
    "jumprelu": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, {"l0_coefficient": 0.01}),
}


def main(activations: Path, out: Path):
    sys.path.insert(0, str(activations.parent))
    from saeviz_callback import Saeviz

    x = torch.from_numpy(np.load(activations))
    for name, (kind, config, own) in KINDS.items():
        torch.manual_seed(0)
        batches = (x[torch.randint(len(x), (BATCH,))] for _ in range(10 * STEPS))
        settings = SAETrainerConfig(
            total_training_samples=STEPS * BATCH, train_batch_size_samples=BATCH, lr=1e-3, lr_end=1e-4
        )
        trainer = SAETrainer(settings, kind(config(d_in=x.shape[1], d_sae=D_SAE, **own)), batches)
        Saeviz(out / name, every=10, hook_name=HOOK).follow(trainer)
        trainer.fit()
        last = SAE.load_from_disk(out / name / str(STEPS * BATCH))
        np.save(out / f"{name}.npy", last.encode(x[:50]).detach().numpy())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
