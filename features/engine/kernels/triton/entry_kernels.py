"""Kernels for the active entries of a piece of a corpus, on rooms of memory whose size no answer has to be waited for.

Entries lie feature by feature, tokens ascending in each: feature i's from starts[i] to starts[i + 1]. One program does
one feature (or one token), so that every sum is taken in the same order whatever else runs beside it.
"""

import triton
import triton.language as tl


@triton.jit
def count(products, counts, tokens, SIGNED: tl.constexpr, BLOCK: tl.constexpr):
    """How many of each row of products [rows, tokens] are above zero (or other than zero). -> counts [rows]"""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    found = tl.zeros([BLOCK], tl.int32)
    for start in range(0, tokens, BLOCK):
        value = tl.load(products + row.to(tl.int64) * tokens + start + at, mask=start + at < tokens, other=0)
        found += _hit(value, SIGNED).to(tl.int32)
    tl.store(counts + row, tl.sum(found))


@triton.jit
def place(
    products, starts, places, values, tokens, room,
    SIGNED: tl.constexpr, VALUES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Where those are: their columns, and what stands there if VALUES. -> places, values [room]"""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    before = tl.load(starts + row)
    for start in range(0, tokens, BLOCK):
        value = tl.load(products + row.to(tl.int64) * tokens + start + at, mask=start + at < tokens, other=0)
        hit = _hit(value, SIGNED)
        own = tl.sum(hit.to(tl.int32))
        if own > 0:
            to = before + tl.cumsum(hit.to(tl.int32)) - 1
            tl.store(places + to, start + at, mask=hit & (to < room))
            if VALUES:
                tl.store(values + to, value, mask=hit & (to < room))
            before += own


@triton.jit
def _hit(value, SIGNED: tl.constexpr):
    return value != 0 if SIGNED else value > 0


@triton.jit
def activate(
    hook, rows, bias, threshold, order, starts, places, values, active, fh, width,
    EXACT: tl.constexpr, SUMS: tl.constexpr, WIDTH: tl.constexpr, ENTRIES: tl.constexpr,
):  # fmt: skip
    """Each entry's activation max(h w + b, 0), 0 at or below the threshold, if EXACT, else what values hold; how many
    of a feature's are active; and to fh [features, width] float64 their sum of activation times h, if SUMS.

    hook [tokens, width], rows [features, width] of the encoder; `order` says which feature a program does.
    """
    feature = tl.load(order + tl.program_id(0)).to(tl.int64)
    begin, end = tl.load(starts + feature), tl.load(starts + feature + 1)
    column = tl.arange(0, WIDTH)
    inside = column < width
    w = tl.load(rows + feature * width + column, mask=inside, other=0)
    b, least = tl.load(bias + feature), tl.load(threshold + feature)
    total = tl.zeros([WIDTH], tl.float32)
    found = tl.zeros([ENTRIES], tl.int32)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        there = entry < end
        token = tl.load(places + entry, mask=there, other=0).to(tl.int64)
        h = tl.load(hook + token[:, None] * width + column[None, :], mask=there[:, None] & inside[None, :], other=0)
        if EXACT:
            f = tl.sum(h * w[None, :], 1) + b
            f = tl.where((f > least) & there, f, 0.0)
            tl.store(values + entry, f, mask=there)
            found += (f > 0).to(tl.int32)
        else:
            f = tl.load(values + entry, mask=there, other=0)
        if SUMS:
            total += tl.sum(h * f[:, None], 0)
    if EXACT:
        tl.store(active + feature, tl.sum(found))
    if SUMS:  # noqa: SIM102 - what is known when it is compiled stands alone
        if end > begin:
            own = fh + feature * width + column
            tl.store(own, tl.load(own, mask=inside) + total.to(tl.float64), mask=inside)


@triton.jit
def keep(starts, places, values, kept_starts, features, kept_places, kept_values, BLOCK: tl.constexpr):
    """The entries that are not 0, without gaps, and whose they are. -> features, kept_places, kept_values [room]"""
    feature = tl.program_id(0)
    begin, end, to = tl.load(starts + feature), tl.load(starts + feature + 1), tl.load(kept_starts + feature)
    for start in range(begin, end, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        value = tl.load(values + entry, mask=entry < end, other=0)
        hit = value != 0
        at = to + tl.cumsum(hit.to(tl.int32)) - 1
        tl.store(features + at, feature, mask=hit)
        tl.store(kept_places + at, tl.load(places + entry, mask=hit, other=0), mask=hit)
        tl.store(kept_values + at, value, mask=hit)
        to += tl.sum(hit.to(tl.int32))


@triton.jit
def squared_errors(
    hook, decoder, bias, shift, scale, starts, order, features, values, errors, width,
    WIDTH: tl.constexpr, ENTRIES: tl.constexpr,
):  # fmt: skip
    """|h - h'|^2 of each token, whose entries are `order[starts[token]:starts[token + 1]]`. -> errors [tokens]"""
    token = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(starts + token), tl.load(starts + token + 1)
    column = tl.arange(0, WIDTH)
    inside = column < width
    rebuilt = tl.load(bias + column, mask=inside, other=0)
    for start in range(begin, end, ENTRIES):
        at = start + tl.arange(0, ENTRIES)
        there = at < end
        entry = tl.load(order + at, mask=there, other=0)
        feature = tl.load(features + entry, mask=there, other=0).to(tl.int64)
        f = tl.load(values + entry, mask=there, other=0)
        rows = decoder + feature[:, None] * width + column[None, :]
        rebuilt += tl.sum(f[:, None] * tl.load(rows, mask=there[:, None] & inside[None, :], other=0), 0)
    rebuilt = rebuilt * tl.load(scale + token) + tl.load(shift + token)
    off = tl.load(hook + token * width + column, mask=inside, other=0) - rebuilt
    tl.store(errors + token, tl.sum(tl.where(inside, off * off, 0)))
