"""A TopK SAE trained, or read and measured, by EleutherAI's sparsify. Run by its own Python, see requirements.

Its trainer runs the whole model on every batch; here its SAE and optimiser get the activations that the others get.
"""

import torch
from real_shared import asked, measure, open_model, open_rows, training_batches
from sparsify import SparseCoder, SparseCoderConfig
from sparsify.sign_sgd import SignSGD


def train(args, model, rows):
    batches = training_batches(model, args.module, rows, args.batch)
    first = next(batches)
    sae = SparseCoder(first.shape[1], SparseCoderConfig(num_latents=args.d_sae, k=args.k))
    sae.b_dec.data = first.mean(0)
    optimiser = SignSGD(sae.parameters(), lr=5e-3 / (args.d_sae / 2**14) ** 0.5)
    for _, h in zip(range(args.steps), batches, strict=False):
        sae.set_decoder_norm_to_unit_norm()
        sae(h).fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
    sae.set_decoder_norm_to_unit_norm()
    sae.save_to_disk(args.sae / args.module.removeprefix("model."))


def main():
    args = asked()
    model, rows = open_model(args.model), open_rows(args.rows)
    if args.do == "train":
        return train(args, model, rows)
    sae = SparseCoder.load_from_disk(args.sae)

    def encode(h):
        top = sae.encode(h)
        return h.new_zeros(len(h), sae.num_latents).scatter_(1, top.top_indices, top.top_acts)

    def decode(f):
        return sae.decode(*f.topk(sae.cfg.k))

    with torch.no_grad():
        measure(model, args.module, rows, encode, decode, args.out)


if __name__ == "__main__":
    main()
