"""The few largest or smallest of long rows, without sorting through all of each."""

import torch
from torch import Tensor

GROUP = 64  # neighbouring numbers of which only the largest is looked at first


def topmost(rows: Tensor, count: int, largest: bool = True) -> tuple[Tensor, Tensor]:
    """Values and places of the `count` largest (or smallest) of each row, best first. [n, count] each

    They lie in the `count` groups whose own largest are largest: were one of them in another group, each of those
    would hold one at least as large. A row's tail that fills no group is looked at whole. Rows hold no NaN.
    """
    groups = rows.shape[1] // GROUP
    if groups <= 2 * count:
        return tuple(rows.topk(count, largest=largest))
    body = rows[:, : groups * GROUP].view(len(rows), groups, GROUP)
    best = (body.amax(2) if largest else body.amin(2)).topk(count, largest=largest).indices
    places = (best[:, :, None] * GROUP + torch.arange(GROUP, device=rows.device)).flatten(1)
    tail = torch.arange(groups * GROUP, rows.shape[1], device=rows.device).expand(len(rows), -1)
    places = torch.cat([places, tail], 1)
    values, among = rows.gather(1, places).topk(count, largest=largest)
    return values, places.gather(1, among)
