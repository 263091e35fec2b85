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


def beside(ids, counted, rows, by):  # [tokens] of whole rows, by: 1 is behind, -1 before
    """The counted token so many behind each counted one in its row, -1 where there is none."""
    found = torch.full_like(ids, -1)
    for t in range(len(ids)):
        if 0 <= t + by < len(ids) and rows[t] == rows[t + by] and counted[t] and counted[t + by]:
            found[t] = ids[t + by]
    return found


def token_shares(a, ids, v):  # [tokens]: bool; the token there, before or after; one of them
    """P(token given that it fires) and P(fires given the token)."""
    both = (a & (ids == v)).double().sum()
    return both / a.sum(), both / (ids == v).sum()


def weighted_token_share(f, ids, v):  # [tokens] twice
    """The first of them by size of the activation."""
    return f.abs()[ids == v].sum() / f.abs().sum()


def entropy(weights):  # [tokens that differ]: counts, or sums of sizes
    """Of which token a feature fires on, in bits."""
    shares = weights[weights > 0] / weights.sum()
    return -(shares * shares.log2()).sum()


def skew(values):  # [activations]
    """Skewness of the active values (the third standardised moment)."""
    centred = values - values.mean()
    return (centred**3).mean() / (centred**2).mean() ** 1.5


def co_activation(a_i, a_j):  # [tokens] each
    """P(j | i), P(i | j) and the lift of both firing on one token."""
    both = (a_i & a_j).double().sum()
    return both / a_i.sum(), both / a_j.sum(), both * len(a_i) / (a_i.sum() * a_j.sum())


def next_activation(a_i, a_j, rows):  # [all tokens of whole rows] each
    """The same of j one token behind i in the row."""
    both = (a_i[:-1] & a_j[1:] & (rows[:-1] == rows[1:])).double().sum()
    return both / a_i.sum(), both / a_j.sum()
