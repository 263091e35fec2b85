"""The few largest numbers of long rows, without sorting through all of each: an exact two-stage top-k."""

import torch
from torch import Tensor

GROUP = 64  # neighbouring numbers of which only the largest is looked at first


def blocked_topk(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values and indices of the `count` largest of each row, largest first. [n, width] -> [n, count] each

    They lie in the `count` groups whose maxima are largest: were one of them in another group, each of those
    would hold one at least as large. A row's tail that fills no group is looked at whole. Rows hold no NaN.
    Same as torch.topk, up to which of several equal numbers is named.
    """
    groups = rows.shape[1] // GROUP
    if groups <= 2 * count:
        return tuple(rows.topk(count))
    # Stage one: the groups whose largest number is among the `count` largest.
    body = rows[:, : groups * GROUP].view(len(rows), groups, GROUP)
    best = body.amax(2).topk(count).indices  # [n, count]
    # Stage two: top-k among all numbers of those groups, and the tail. Group g covers columns g * GROUP + 0..GROUP-1.
    indices = (best[:, :, None] * GROUP + torch.arange(GROUP, device=rows.device)).flatten(1)  # [n, count * GROUP]
    tail = torch.arange(groups * GROUP, rows.shape[1], device=rows.device).expand(len(rows), -1)
    indices = torch.cat([indices, tail], 1)
    values, chosen = rows.gather(1, indices).topk(count)  # [n, count] each
    return values, indices.gather(1, chosen)
