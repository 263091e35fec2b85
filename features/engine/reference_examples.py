"""Which positions of a text are a feature's examples, exactly? As reference.py: one after another, nothing made quick.

f_i [tokens]             activations of a feature on counted tokens, and the row and position of each
ids [all rows, length]   token ids of the text
"""

import torch


def near_equal(window, other):  # [11] twice, token ids, -1 beyond the ends of a row
    """The same token in the middle, and of the places that both have, at least 6, at most a tenth differ; or alike."""
    both, middle = (window >= 0) & (other >= 0), len(window) // 2
    few_differ = both.sum() > middle and 10 * (window != other)[both].sum() <= both.sum()
    return bool((window == other).all() or (window[middle] == other[middle] and few_differ))


def top_activations(f_i, rows, positions, ids, n=20, around=5):  # [tokens] three times, [all rows, length]
    """(token, copies) of the n largest in size. No two of a row are closer than a window, the 5 tokens before, the
    token and the 5 after; windows near equal to one in front come once, with how often they came up (panel "Top
    activations")."""
    texts = torch.nn.functional.pad(ids, (around, around), value=-1)  # [all rows, around + length + around]
    width, taken, found = 2 * around + 1, [], []  # (token, window, copies)
    for t in f_i.abs().argsort(descending=True, stable=True)[: int((f_i != 0).sum())].tolist():
        row, position = int(rows[t]), int(positions[t])
        if any(row == r and abs(position - p) < width for r, p in taken):
            continue
        taken.append((row, position))
        window = texts[row, position : position + width]
        same = next((entry for entry in found if near_equal(window, entry[1])), None)
        if same:
            same[2] += 1
        else:
            found.append([t, window, 1])
        if len(found) == n:
            break
    return [(first, copies) for first, _, copies in found]
