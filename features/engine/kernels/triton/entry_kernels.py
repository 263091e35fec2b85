"""GPU kernels for the active entries of a chunk of a corpus: count, compact, activate, drop zeros, add up errors.

Entries lie feature by feature, tokens ascending in each: feature i's from offsets[i] to offsets[i + 1] (CSR). They go
into buffers of a fixed capacity, so that the host need not wait to hear how many there are. One program does one
feature (or one token): every sum is taken in the same order whatever else runs beside it. Compacting is stream
compaction by a prefix sum (Blelloch, 1990).
"""

import triton
import triton.language as tl


@triton.jit
def count_hits(products, counts, tokens, SIGNED: tl.constexpr, BLOCK: tl.constexpr):
    """How many of each row of products [rows, tokens] are above zero (or other than zero). -> counts [rows]"""
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    hits = tl.zeros([BLOCK], tl.int32)
    for start in range(0, tokens, BLOCK):
        # Offsets in 64 bits: rows * tokens passes 2**31.
        value = tl.load(products + row.to(tl.int64) * tokens + start + column, mask=start + column < tokens, other=0)
        hits += _hit(value, SIGNED).to(tl.int32)
    tl.store(counts + row, tl.sum(hits))


@triton.jit
def compact_hits(
    products, offsets, hit_tokens, values, tokens, capacity,
    SIGNED: tl.constexpr, VALUES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Their columns, row after row without gaps, and what stands there if VALUES. -> hit_tokens, values [capacity]"""
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    written = tl.load(offsets + row)
    for start in range(0, tokens, BLOCK):
        value = tl.load(products + row.to(tl.int64) * tokens + start + column, mask=start + column < tokens, other=0)
        hit = _hit(value, SIGNED)
        hits = tl.sum(hit.to(tl.int32))
        if hits > 0:
            # The prefix sum numbers the block's hits 1, 2, ...: each one's slot behind those written so far.
            slot = written + tl.cumsum(hit.to(tl.int32)) - 1
            # What the buffer has no slot for is dropped; the host learns of the overflow from the last offset.
            tl.store(hit_tokens + slot, start + column, mask=hit & (slot < capacity))
            if VALUES:
                tl.store(values + slot, value, mask=hit & (slot < capacity))
            written += hits


@triton.jit
def _hit(value, SIGNED: tl.constexpr):
    return value != 0 if SIGNED else value > 0


@triton.jit
def activate(
    hook, rows, bias, floor, order, offsets, tokens, values, active, fh, width,
    EXACT: tl.constexpr, SUMS: tl.constexpr, WIDTH: tl.constexpr, ENTRIES: tl.constexpr,
):  # fmt: skip
    """Each entry's activation max(h w + b, 0), 0 at or below the floor, if EXACT, else what values hold; how many
    of a feature's are active; and to fh [features, width] float64 their sum of activation times h, if SUMS.

    hook [tokens, width], rows [features, width] of the encoder; `order` says which feature a program does.
    """
    feature = tl.load(order + tl.program_id(0)).to(tl.int64)
    begin, end = tl.load(offsets + feature), tl.load(offsets + feature + 1)
    # Rows are padded to a power of two, which Triton's blocks have to be.
    column = tl.arange(0, WIDTH)
    inside = column < width
    w = tl.load(rows + feature * width + column, mask=inside, other=0)  # [WIDTH]
    b, least = tl.load(bias + feature), tl.load(floor + feature)
    total = tl.zeros([WIDTH], tl.float32)
    positive = tl.zeros([ENTRIES], tl.int32)
    for start in range(begin, end, ENTRIES):
        entry = start + tl.arange(0, ENTRIES)
        valid = entry < end
        token = tl.load(tokens + entry, mask=valid, other=0).to(tl.int64)
        # Gather the tokens' rows [ENTRIES, WIDTH]: several together, so that loads are under way at the same time.
        h = tl.load(hook + token[:, None] * width + column[None, :], mask=valid[:, None] & inside[None, :], other=0)
        if EXACT:
            f = tl.sum(h * w[None, :], 1) + b  # [ENTRIES]
            f = tl.where((f > least) & valid, f, 0.0)
            tl.store(values + entry, f, mask=valid)
            positive += (f > 0).to(tl.int32)
        else:
            f = tl.load(values + entry, mask=valid, other=0)
        if SUMS:
            total += tl.sum(h * f[:, None], 0)
    if EXACT:
        tl.store(active + feature, tl.sum(positive))
    if SUMS:  # noqa: SIM102 - what is known when it is compiled stands alone
        if end > begin:
            # float32 within a chunk, float64 from chunk to chunk.
            row = fh + feature * width + column
            tl.store(row, tl.load(row, mask=inside) + total.to(tl.float64), mask=inside)


@triton.jit
def drop_zeros(offsets, tokens, values, kept_offsets, features, kept_tokens, kept_values, BLOCK: tl.constexpr):
    """The entries that are not 0, without gaps, and their features. -> features, kept_tokens, kept_values [capacity]"""
    feature = tl.program_id(0)
    begin, end, written = tl.load(offsets + feature), tl.load(offsets + feature + 1), tl.load(kept_offsets + feature)
    for start in range(begin, end, BLOCK):
        entry = start + tl.arange(0, BLOCK)
        value = tl.load(values + entry, mask=entry < end, other=0)
        hit = value != 0
        # As in compact_hits; these slots exist, since there are no more entries than before.
        slot = written + tl.cumsum(hit.to(tl.int32)) - 1
        tl.store(features + slot, feature, mask=hit)
        tl.store(kept_tokens + slot, tl.load(tokens + entry, mask=hit, other=0), mask=hit)
        tl.store(kept_values + slot, value, mask=hit)
        written += tl.sum(hit.to(tl.int32))


@triton.jit
def squared_errors(
    hook, decoder, bias, shift, scale, offsets, order, features, values, errors, width,
    WIDTH: tl.constexpr, ENTRIES: tl.constexpr,
):  # fmt: skip
    """|h - h'|^2 of each token, whose entries are `order[offsets[token]:offsets[token + 1]]`. -> errors [tokens]"""
    token = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(offsets + token), tl.load(offsets + token + 1)
    column = tl.arange(0, WIDTH)
    inside = column < width
    rebuilt = tl.load(bias + column, mask=inside, other=0)  # [WIDTH]
    for start in range(begin, end, ENTRIES):
        slot = start + tl.arange(0, ENTRIES)
        valid = slot < end
        # Entries lie by feature; `order` lists them by token.
        entry = tl.load(order + slot, mask=valid, other=0)
        feature = tl.load(features + entry, mask=valid, other=0).to(tl.int64)
        f = tl.load(values + entry, mask=valid, other=0)  # [ENTRIES]
        rows = decoder + feature[:, None] * width + column[None, :]
        rebuilt += tl.sum(f[:, None] * tl.load(rows, mask=valid[:, None] & inside[None, :], other=0), 0)
    # An input norm is undone on the whole reconstruction, bias included.
    rebuilt = rebuilt * tl.load(scale + token) + tl.load(shift + token)
    difference = tl.load(hook + token * width + column, mask=inside, other=0) - rebuilt
    tl.store(errors + token, tl.sum(tl.where(inside, difference * difference, 0)))
