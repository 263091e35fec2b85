"""What is every number on the screen, exactly? Its definition in float64, one after another, nothing made quick.

docs/definitions.md says each number in words and names its function here. The rest of the engine computes the same
numbers faster and never imports this file; tests hold it to these functions. Everywhere

    h [tokens, d_in]     activations at the SAE's hook point, on counted tokens
    f [tokens, d_sae]    feature activations; f_i [tokens] those of one feature
    x [tokens, d_model]  residual stream after the model's last block
    e [d_sae, d_model]   output directions: what each feature writes into the residual stream

are float64. Active means not 0 and large means large in size: in some SAEs activations can be negative.

Papers: Bricken 2023, transformer-circuits.pub/2023/monosemantic-features; Gao 2024, arXiv:2406.04093; Bussmann 2024,
arXiv:2412.06410; Rajamanoharan 2024, arXiv:2404.16014 (gated) and arXiv:2407.14435 (JumpReLU). Panels are those of the
original page and of sae_vis, github.com/callummcdougall/sae_vis.
"""

from typing import NamedTuple

import torch

# The SAE


def encode(h, W_enc, b_enc, b_pre=0.0, act=torch.relu):  # [tokens, d_in], [d_in, d_sae], [d_sae], [d_in]
    """Activations act(p): `act` is relu (Bricken 2023, where b_pre is b_dec) or one of those below."""
    return act((h - b_pre) @ W_enc + b_enc)  # [tokens, d_sae]


def decode(f, W_dec, b_dec):  # [tokens, d_sae], [d_sae, d_in], [d_in]
    """Reconstruction h' (Bricken 2023). Decoder rows are used as stored, whatever their length."""
    return f @ W_dec + b_dec  # [tokens, d_in]


def jumprelu(p, threshold):  # [tokens, d_sae], [d_sae]
    """p where it exceeds the feature's threshold, else 0 (Rajamanoharan 2024)."""
    return p.relu() * (p > threshold)  # [tokens, d_sae]


def gated(p, gate_bias, log_scale, magnitude_bias):  # [tokens, d_sae], three times [d_sae]
    """One product p = (h - b_pre) @ W_enc decides whether and, rescaled, how much (Rajamanoharan 2024, gated)."""
    return (p + gate_bias > 0) * (p * log_scale.exp() + magnitude_bias).relu()  # [tokens, d_sae]


def signed_topk(p, k, by=None):  # [tokens, d_sae]
    """The k largest of each token, above 0 or not (EleutherAI's sparsify)."""
    largest = (p if by is None else by).topk(k, dim=-1).indices  # [tokens, k]
    return torch.zeros_like(p).scatter(-1, largest, p.gather(-1, largest))  # [tokens, d_sae]


def topk(p, k):  # [tokens, d_sae], the k largest of each token, if they are above 0 (Gao 2024)
    return signed_topk(p, k).relu()  # [tokens, d_sae]


def abstopk(p, k):  # [tokens, d_sae], the k largest in size of each token, with their sign (SAELens)
    return signed_topk(p, k, by=p.abs())  # [tokens, d_sae]


def groupmax(p, k):  # [tokens, d_sae]
    """The largest of each of k equal groups of features, if above 0 (EleutherAI's sparsify)."""
    return signed_topk(p.unflatten(-1, (k, -1)), 1).flatten(-2).relu()  # [tokens, d_sae]


def batch_topk_threshold(p, k):  # [tokens of a batch, d_sae]
    """Trained to keep the k * tokens largest of a batch, an SAE is read as a jumprelu: its threshold is the smallest
    activation kept, averaged over batches (Bussmann 2024)."""
    kept = p.relu().flatten().topk(k * len(p)).values  # [k * tokens]
    return kept[kept > 0].min()  # []


def input_norm(h, kind):  # [tokens, d_in]
    """What an SAE with an input norm encodes in place of h, and how its output is undone: output * scale + shift
    (SAELens). "layer_norm" standardises each token, "constant_norm_rescale" brings it to length sqrt(d_in),
    "center" takes its mean out (transformer_lens's center_writing_weights)."""
    if kind == "layer_norm":
        shift, scale = h.mean(-1, keepdim=True), h.std(-1, keepdim=True)  # [tokens, 1], the unbiased deviation
        return (h - shift) / (scale + 1e-5), shift, scale
    if kind == "center":
        shift = h.mean(-1, keepdim=True)  # [tokens, 1]
        return h - shift, shift, torch.ones_like(shift)
    scale = h.norm(dim=-1, keepdim=True) / h.shape[-1] ** 0.5  # [tokens, 1]
    return h / scale, torch.zeros_like(scale), scale


# A feature's activations over counted tokens


def counted(ids, special):  # [rows, length], the population of every share: all but BOS, EOS and padding
    return ~torch.isin(ids, torch.tensor(sorted(special)))  # [rows, length] bool


def density(f):  # [tokens, d_sae], share of tokens on which each is active (panel "Activations density")
    return (f != 0).double().mean(0)  # [d_sae]


def maximum(f):  # [tokens, d_sae], of the sizes; 0 of a dead feature (panel "Top activations, max")
    return f.abs().amax(0)  # [d_sae]


def mean_active(f):  # [tokens, d_sae], mean size of the active values; 0 of a dead feature
    return f.abs().sum(0) / (f != 0).sum(0).clamp_min(1)  # [d_sae]


def act_quantile(f_i, v):  # [tokens], [n]
    """Share of tokens, zeros included, on which the feature is smaller in size than v (prompt panel "act_quantile").
    Above everything that was seen, half a token is taken to be as large."""
    as_large = (f_i.abs() >= v.abs()[..., None]).sum(-1).double()  # [n]
    return 1 - as_large.clamp_min(0.5) / len(f_i)  # [n]


def histogram(values, low, high, bins=50):  # [n]
    """Counts between equal edges; a bin has its left edge, the last one both. Panel "Logits distribution": of a
    feature's logit effects, from their lowest to their highest."""
    edges = low + (high - low) * torch.arange(bins + 1, dtype=torch.float64) / bins  # [bins + 1]
    inside = torch.bucketize(values, edges, right=True).clamp_max(bins) - 1  # [n]
    return inside.bincount(minlength=bins), edges


def activation_histogram(f_i, bins=50):  # [tokens]
    """Of the sizes of the active values, from 0 to the maximum (panel "Activations density")."""
    sizes = f_i[f_i != 0].abs()  # [active]
    return histogram(sizes, 0.0, sizes.max(), bins)


def intervals(f_i, n=10):  # [tokens]
    """Equal widths between 0 and the maximum, highest first: edges, and the share of tokens with low < size <= high
    between each two (panel "Interval ..., contains ...")."""
    edges = f_i.abs().max() * torch.arange(n, -1, -1, dtype=torch.float64) / n  # [n + 1]
    inside = (f_i.abs() > edges[1:, None]) & (f_i.abs() <= edges[:-1, None])  # [n, tokens]
    return edges, inside.double().mean(1)  # [n + 1], [n]


# Two features, or a feature and a neuron


def cosine(x, y):  # [tokens, n], [tokens, m]
    """Of uncentred activations (panel "Correlated neurons, cosine sim."); NaN where one is all zeros."""
    return x.T @ y / (x.norm(dim=0)[:, None] * y.norm(dim=0))  # [n, m]


def pearson(x, y):  # [tokens, n], [tokens, m] (panels "Correlated neurons", "... features"); NaN where one is constant
    return cosine(x - x.mean(0), y - y.mean(0))  # [n, m]


def correlates(r):  # [m] Pearson correlations of a feature, NaN with itself
    """Which are listed: the seven highest, and of the others the three lowest, if below 0."""
    order = [j for j in r.argsort(descending=True, stable=True).tolist() if r[j].isfinite()]
    return order[:7] + [j for j in order[7:][-3:] if r[j] < 0]


def decoder_cosine(W_dec, other):  # [d_sae, d_in], [m, d_in] decoder rows; 0 with a row of zeros
    return cosine(W_dec.T, other.T).nan_to_num(0)  # [d_sae, m]


def decoder_neighbours(W_dec, i, n=10):  # [d_sae, d_in]
    """The features with the highest decoder cosine, itself left out."""
    order = decoder_cosine(W_dec[i : i + 1], W_dec)[0].argsort(descending=True, stable=True)  # [d_sae]
    return order[order != i][:n]  # [n]


# A feature's weights


def output_directions(W_dec, W_out=None):  # [d_sae, d_in], [d_in, d_model]
    """Decoder rows in the residual stream: through W_out from neurons, W_O from hook_z (heads side by side)."""
    return W_dec if W_out is None else W_dec @ W_out  # [d_sae, d_model]


def neuron_alignment(row, n=10):  # [d_in] decoder row of an SAE on neurons
    """Neurons with the largest entries, signed, and their share of the row (panel "Neuron alignment, % of L1")."""
    neurons = row.abs().argsort(descending=True, stable=True)[:n]  # [n]
    return neurons, row[neurons], row[neurons].abs() / row.abs().sum()


class Unembedding(NamedTuple):
    """From the residual stream to the logits, as the model has it."""

    W_U: torch.Tensor  # [d_model, d_vocab]
    b_U: torch.Tensor | float = 0.0  # [d_vocab]
    gain: torch.Tensor | float = 1.0  # [d_model] of the final norm
    bias: torch.Tensor | float = 0.0  # [d_model] of the final norm
    norm: str | None = "LN"  # "RMS" does not take the mean away; None for a model without a final norm
    eps: float = 1e-5
    cap: float | None = None  # of the logits (Gemma 2)


def logit_effects(e, unembedding):  # [..., d_model]
    """Per unit of activation on every token of the vocabulary: through the final norm's gain, its scale left out
    (panels "Positive logits", "Negative logits"; Bricken 2023, logit weights)."""
    centred = e - e.mean(-1, keepdim=True) if unembedding.norm == "LN" else e  # [..., d_model]
    return centred * unembedding.gain @ unembedding.W_U  # [..., d_vocab]


def logit_effect_on_token(f, e, targets, unembedding):  # [n], [n, d_model], [n] the tokens that follow
    """What an activation adds to the logit of the true next token, the norm's scale left out."""
    return f * logit_effects(e, unembedding).gather(-1, targets[..., None])[..., 0]  # [n]


# What an activation does to the prediction of the next token


def final_norm(x, unembedding):  # [..., d_model]
    """LayerNorm or RMSNorm: divided by the root of the mean square, not by the mean square."""
    if unembedding.norm == "LN":
        x = x - x.mean(-1, keepdim=True)
    if unembedding.norm is not None:
        x = x / (x.square().mean(-1, keepdim=True) + unembedding.eps).sqrt()
    return x * unembedding.gain + unembedding.bias  # [..., d_model]


def logits(x, unembedding):  # [..., d_model]
    whole = final_norm(x, unembedding) @ unembedding.W_U + unembedding.b_U  # [..., d_vocab]
    return whole if unembedding.cap is None else unembedding.cap * (whole / unembedding.cap).tanh()  # [..., d_vocab]


def losses(x, targets, unembedding):  # [..., d_model], [...] or [] the tokens that follow; -log p of them, nats
    log_p = logits(x, unembedding).log_softmax(-1)  # [..., d_vocab]
    return -log_p.gather(-1, targets.expand(log_p.shape[:-1])[..., None])[..., 0]  # [...]


def loss_effect(x, targets, f, e, unembedding):  # [..., d_model], [...], [n], [n, d_model]
    """The next token's loss with an activation minus the loss without, all else of x kept, the SAE's error too
    (lines under the panels' tokens): below 0 the feature helps. Where an input norm was undone, f is f * scale."""
    return losses(x, targets, unembedding) - losses(x - f[..., None] * e, targets, unembedding)  # [n]


def probabilities(loss, effect):  # [n], [n] of the true next token, with and without, from the same two losses
    return (-loss).exp(), (-(loss - effect)).exp()  # [n], [n]


# A prompt: which features come first on token p. Special tokens are not ranked.


def prompt_loss_effects(x, ids, f, e, unembedding):  # [tokens, d_model], [tokens], [tokens, d_sae], [d_sae, d_model]
    """Under the PREDICTED token: at p, what is active on p - 1 does to the loss of p. NaN where nothing is active."""
    found = torch.full_like(f, torch.nan)  # [tokens, d_sae]; the first token is predicted from nothing
    for p in range(1, len(ids)):
        i = f[p - 1].nonzero()[:, 0]  # [active]
        found[p, i] = loss_effect(x[p - 1], ids[p], f[p - 1, i], e[i], unembedding)
    return found


def predictions(x, f, e, unembedding):  # [d_model], activation on the token, [d_model]; of the next token
    """Probabilities with and without one activation, everything else kept. [2, d_vocab]"""
    return torch.softmax(logits(torch.stack([x, x - f * e]), unembedding), -1)


def rank(metric, p, f, quantiles=None, effects=None):  # [tokens, d_sae] each; effects from prompt_loss_effects
    """Features at token p, best first (prompt panels of these names): the largest; the one whose activation is rarest
    for it; or, of those active on p - 1, the one that helps most to predict p. Of equal ones the larger activation."""
    at = p - 1 if metric == "loss_effect" else p
    if at < 0:
        return []
    keys = {"act_size": -f.abs(), "act_quantile": quantiles, "loss_effect": effects}[metric][p]  # [d_sae]
    keys = -keys if metric == "act_quantile" else keys
    return sorted(f[at].nonzero()[:, 0].tolist(), key=lambda i: (float(keys[i]), -float(f[at, i].abs()), i))


def over_tokens(metric, scores):  # [chosen tokens, d_sae]
    """Of several tokens together: the highest quantile, 0 where a feature is silent; of sizes and effects the sum."""
    return scores.amax(0) if metric == "act_quantile" else scores.nansum(0)  # [d_sae]


# A whole SAE


def l0(f):  # [tokens, d_sae], mean number of active features per token (Bricken 2023)
    return (f != 0).sum(1).double().mean()  # []


def explained_variance(h, reconstruction):  # [tokens, d_in], [tokens, d_in]
    """1 less the normalised squared error (Gao 2024): sums over tokens and entries, each before they are divided."""
    return 1 - (h - reconstruction).square().sum() / (h - h.mean(0)).square().sum()  # []


def variance_shares(h, reconstruction, is_first):  # [tokens, d_in] twice, [tokens] bool
    """Share of the variance at the first counted position of rows, in the longest 0.1 % of activations (at least one),
    and explained variance of all other tokens (massive activations: Sun 2024)."""
    longest = torch.zeros(len(h), dtype=bool)
    longest[h.norm(dim=1).argsort(descending=True)[: max(1, round(0.001 * len(h)))]] = True
    squares, rest = (h - h.mean(0)).square().sum(1), ~(is_first | longest)
    shares = [squares[chosen].sum() / squares.sum() for chosen in (is_first, longest)]
    return *shares, explained_variance(h[rest], reconstruction[rest])


def bootstrap_margin(draws):  # [n, ...] a figure, each from as many rows as there are, drawn with replacement
    """Half the distance of the 2.5 and 97.5 % quantiles. Rows, as tokens of one are not independent (Efron 1979)."""
    low, high = draws.quantile(torch.tensor([0.025, 0.975], dtype=draws.dtype), dim=0)
    return (high - low) / 2


def loss_recovered(clean, reconstructed, zero):  # mean losses as it is, with h' and with zeros for h (Bricken 2023)
    return (zero - reconstructed) / (zero - clean)


def dead_and_dense(f, above=0.1):  # [tokens, d_sae]; never active, and active on more than 10 % of the tokens
    return density(f) == 0, density(f) > above  # [d_sae] bool, [d_sae] bool
