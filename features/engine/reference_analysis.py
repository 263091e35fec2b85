"""What is worked out after statistics are shown, in float64 over dense activations. Nothing imports it but tests."""

import torch


def importance(a, effects, predicts):  # [tokens] each: bool; nats on the next token; whether a counted one follows
    """What a feature is worth, in nats per million tokens, of all its positives; and the share of them on which it
    helps."""
    at = effects[a & predicts]  # [positives]
    return at.mean() * a.double().mean() * 1e6, (at < 0).double().mean()


def importance_interval(a, effects, predicts, rows, draws):  # [tokens] four times, [n, all rows]
    """95 % interval of the same over rows: a bootstrap (Efron 1979); none where one row has all positives."""
    at, n_rows = a & predicts, draws.shape[1]
    counts = rows[at].bincount(minlength=n_rows).double()  # [all rows]
    sums = rows[at].bincount(effects[at], minlength=n_rows)
    means = (draws @ sums) / (draws @ counts)  # [n], NaN where none of its rows was drawn
    return means.nanquantile(torch.tensor([0.025, 0.975], dtype=means.dtype)) * a.double().mean() * 1e6


def carried(ordering, summed, share=0.9):  # [d_sae] each: importances on two halves of the positives
    """How many features, the most useful by one half first, carry a share of the sum over the other half."""
    sums = summed[ordering.sort(stable=True).indices].cumsum(0)
    return int((sums / sums[-1] >= share).nonzero()[0]) + 1


def reconstruction_cost(clean, reconstructed):  # [predicted] each
    """What the SAE misses at a token that is predicted, in nats."""
    return reconstructed - clean


def gap(p, floor):  # [tokens] each: pre-activations, and what they have to exceed to be active
    """How far below its threshold a dead feature stayed where it came nearest, and on which token."""
    return (floor - p).min(0)
