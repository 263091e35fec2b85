"""What is every number that comes of a question to the kept activations? In float64, as reference.py has the others.

Everywhere, over the counted tokens of a corpus,

    f_i [tokens]    a feature's activations
    a   [tokens]    bool: it is active there, from a threshold on
    m   [tokens]    bool: the pattern holds there
    rows [tokens]   which row of the corpus each is in; text [tokens] which document in which row

Large means large in size. Wilson 1927, J. Am. Stat. Assoc. 22; Efron 1979, Ann. Stat. 7.
"""

import torch

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def ends_in(ends, token_ends):  # [matches], [tokens] bytes, behind the last one of each
    """On which tokens matches hold: on that which has a match's last byte."""
    last = torch.bucketize(ends - 1, token_ends, right=True)  # [matches]
    return torch.zeros(len(token_ends), dtype=torch.bool).index_fill(0, last, True)  # [tokens]


def touched(starts, ends, token_starts, token_ends):  # [matches] twice, [tokens] twice
    """On which tokens matches have some byte."""
    has_some = token_ends > token_starts  # [tokens]
    return ((starts[:, None] < token_ends) & (ends[:, None] > token_starts) & has_some).any(0)  # [tokens]


def beside(m, text, before, after):  # [tokens], [tokens]
    """Tokens that have one with m among the `before` in front of them or the `after` behind them, in the same text."""
    t = torch.arange(len(m))
    distance = t[:, None] - t  # [tokens, tokens], above 0 to those in front
    near = ((distance > 0) & (distance <= before)) | ((distance < 0) & (-distance <= after))
    return (near & m & (text[:, None] == text)).any(1)  # [tokens]


def active_from(f_i, value=None, quantile=None):  # [tokens]
    """Where a feature counts as active: not 0; of this size at least; or with this act quantile at least, the share
    of tokens, zeros included, on which it is smaller."""
    if quantile is None:
        return (f_i != 0) & (f_i.abs() >= (value or 0))  # [tokens]
    smaller = (f_i.abs() < f_i.abs()[:, None]).sum(1)  # [tokens]
    return (f_i != 0) & (smaller >= quantile * len(f_i) - 1e-9)  # [tokens]


def pattern_scores(f_i, a, m):  # [tokens] each; NaN where a, or m, is empty
    """How well a feature goes with a pattern. Weighted precision and correlation are of f_i whatever the threshold."""
    hits, n_a, n_m = (a & m).sum().double(), a.sum(), m.sum()
    precision, recall = hits / n_a, hits / n_m
    centred, held = f_i - f_i.mean(), m.double() - m.double().mean()
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else precision * 0,
        "lift": precision / m.double().mean(),
        "correlation": (centred @ held) / (centred.norm() * held.norm()),
        "weighted_precision": (f_i.abs() * m).sum() / f_i.abs().sum(),
    }


def wilson(hits, trials):
    """95 % interval of a share of independent trials (Wilson 1927)."""
    share = hits / trials
    # Centre and half the width of the interval, each still to be divided by 1 + Z^2 / n.
    centre, half = share + Z**2 / (2 * trials), Z * (share * (1 - share) / trials + Z**2 / (4 * trials**2)) ** 0.5
    return max(0, (centre - half) / (1 + Z**2 / trials)), min(1, (centre + half) / (1 + Z**2 / trials))


def precision_interval(a, m, rows, draws):  # [tokens] three times, [n, all rows] how often each row is drawn
    """95 % interval of precision over rows, whose tokens are not independent: a bootstrap (Efron 1979). Where each
    activation has a row of its own, Wilson's; where all are hits or none is, Wilson's of the rows that have any."""
    n_rows = draws.shape[1]
    active, hits = (rows[x].bincount(minlength=n_rows).double() for x in (a, a & m))  # [all rows]
    if active.max() <= 1:
        return wilson(float(hits.sum()), float(active.sum()))
    if hits.sum() in (0, active.sum()):
        trials = float((active > 0).sum())
        return wilson(trials * bool(hits.sum()), trials)
    shares = (draws @ hits) / (draws @ active)  # [n], NaN where none of its rows was drawn
    return tuple(shares.nanquantile(torch.tensor([0.025, 0.975], dtype=shares.dtype)).tolist())


def pattern_order(keys, hits, n_a):  # [d_sae] each; of precision and lift, the lower ends of the intervals are the keys
    """Active features, the highest key first; of equal ones the one with more hits, then the lower index."""
    return sorted(n_a.nonzero()[:, 0].tolist(), key=lambda i: (-float(keys[i]), -int(hits[i]), i))


def fired_instead(a, m, i):  # [tokens, d_sae], [tokens]; {feature: (n(not a_i, m, a_j), share, lift)}
    """Features that are active where i misses the pattern: on at least two such tokens, and more often than elsewhere.
    The most first; of equal ones the higher lift, then the lower index."""
    missed = m & ~a[:, i]  # [tokens]
    found = {}
    for j in range(a.shape[1]):
        hits = int((missed & a[:, j]).sum())
        share, everywhere = hits / max(1, int(missed.sum())), float(a[:, j].double().mean())
        if hits >= 2 and share > everywhere:
            found[j] = hits, share, share / everywhere
    return dict(sorted(found.items(), key=lambda item: (-item[1][0], -item[1][2], item[0])))


def bar(activation, p, i, k=None, threshold=None):  # [d_sae] pre-activations on one token
    """What p_i has to exceed on a token for feature i to be active; for abstopk, what its size has to."""
    if activation in ("topk", "signed_topk", "abstopk"):
        p = p.abs() if activation == "abstopk" else p
        kth = float(p.sort(descending=True).values[k - 1])
        return max(0.0, kth) if activation == "topk" else kth
    if activation == "groupmax":
        size = len(p) // k
        return max(0.0, float(p[i // size * size : (i // size + 1) * size].max()))
    return max(0.0, float(threshold[i])) if threshold is not None else 0.0


def auroc(having, lacking):  # [n], [m] scores of texts
    """Share of pairs in which the text with the property scores higher, equal ones half (Hanley, McNeil 1982)."""
    pairs = [(float(a > b) + float(a == b) / 2) for a in having for b in lacking]
    return sum(pairs) / len(pairs)


def f1(a, m):  # [tokens] each
    hits = int((a & m).sum())
    return 2 * hits / int(a.sum() + m.sum()) if hits else 0.0


def grown(a, texts):  # [tokens], {name: [tokens]}
    """(F1, names) of the texts whose union goes best with a feature, found one by one: each raises F1 most, of equal
    ones the first; eight at most, each but the first by 0.01 at least."""
    chosen, reached, union = [], 0.0, torch.zeros_like(a)
    # A text that is on no token of the feature adds to what is promised and to no hit.
    texts = {name: m for name, m in texts.items() if (a & m).any()}  # the others would lower it
    while len(chosen) < 8:
        each = {name: f1(a, union | m) for name, m in texts.items() if name not in chosen}
        best = max(each, key=each.get, default=None)
        if best is None or (chosen and each[best] < reached + 0.01):
            break
        chosen, reached, union = [*chosen, best], each[best], union | texts[best]
    return reached, tuple(chosen)


def description(a, slots, affixes, literals):  # [tokens], three {name: [tokens]}, {name: [tokens]} twice
    """(F1, conditions) of the simple pattern that goes best with a feature; over the tokens of even rows.

    One condition, of its kind the best: some texts of the token, an affix, a literal, some texts of the token in front,
    of the one behind. With it, where that raises F1 by 0.03 over the best single one, a second: a literal, none of one,
    or some texts in another slot. Of equal ones the first.
    """

    def best_of(masks, within):
        each = {name: f1(a, m & within) for name, m in masks.items()}
        best = max(each, key=each.get, default=None)
        return (each[best], best) if best is not None and each[best] else None

    def of_slot(slot, within):
        reached, names = grown(a, {name: m & within for name, m in slots[slot].items()})
        return (reached, (slot, names)) if names else None

    def where(condition):
        slot, names = condition
        return torch.stack([slots[slot][name] for name in names]).any(0) if slot in (0, 1, 2) else masks[condition]

    everywhere = torch.ones_like(a)
    masks = {("affix", name): m for name, m in affixes.items()} | {("is", name): m for name, m in literals.items()}
    masks |= {("not", name): ~m for name, m in literals.items()}
    of_kind = {kind: {key: m for key, m in masks.items() if key[0] == kind} for kind in ("affix", "is", "not")}
    heads = [of_slot(0, everywhere), best_of(of_kind["affix"], everywhere), best_of(of_kind["is"], everywhere)]
    heads = [head for head in (*heads, of_slot(1, everywhere), of_slot(2, everywhere)) if head]
    if not heads:
        return 0.0, ()
    alone, best = max(heads, key=lambda head: head[0])
    found = alone, (best,)
    for _, head in heads:
        within = where(head)
        tails = [best_of(of_kind["is"], within), best_of(of_kind["not"], within)]
        tails += [of_slot(slot, within) for slot in range(3) if slot != {"affix": 0}.get(head[0], head[0])]
        for joint, tail in filter(None, tails):
            if joint >= alone + 0.03 and joint > found[0]:
                found = joint, (head, tail)
    return found
