"""dictionary_learning trains a few steps, saeviz's callback beside it: the same as callback_sae_lens.py, by its own
Python."""

import sys
from pathlib import Path

import numpy as np
import torch
from dictionary_learning.trainers import BatchTopKTrainer, JumpReluTrainer, StandardTrainer, TopKTrainer
from dictionary_learning.utils import load_dictionary

STEPS, BATCH, D_SAE, HOOK = 30, 64, 128, "blocks.0.mlp.hook_post"
KINDS = {
    "standard": (StandardTrainer, {"sparsity_warmup_steps": 5}),
    "topk": (TopKTrainer, {"k": 8, "threshold_start_step": 10}),
    "batchtopk": (BatchTopKTrainer, {"k": 8, "threshold_start_step": 10, "threshold_beta": 0.5}),
    "jumprelu": (JumpReluTrainer, {"sparsity_warmup_steps": 5, "target_l0": 8.0}),
}


def main(activations: Path, out: Path):
    sys.path.insert(0, str(activations.parent))
    from saeviz_callback import Saeviz

    x = torch.from_numpy(np.load(activations))
    for name, (kind, own) in KINDS.items():
        torch.manual_seed(0)
        trainer = kind(
            steps=STEPS, activation_dim=x.shape[1], dict_size=D_SAE, layer=0, lm_name="made", lr=1e-3, warmup_steps=5,
            decay_start=20, device="cpu", **own,
        )  # fmt: skip
        saeviz = Saeviz(out / name, every=10, hook_name=HOOK)
        for step in range(STEPS):
            trainer.update(step, x[torch.randint(len(x), (BATCH,))])
            saeviz(step + 1, trainer.ae, tokens=BATCH * (step + 1))
        last, _ = load_dictionary(str(out / name / str(STEPS * BATCH)), "cpu")
        np.save(out / f"{name}.npy", last.encode(x[:50]).detach().numpy())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
