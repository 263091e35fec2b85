"""Numbers on their way between the host and a GPU, neither of which waits for the other."""

import numpy as np
import torch
from torch import Tensor


def upload(values, device) -> Tensor:
    """A copy on the device of an array or tensor of the host."""
    values = torch.as_tensor(values)
    if torch.device(device).type != "cuda" or values.is_cuda:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


class Fetched:
    """Tensors on the host, once they are there; those that are there already are not copied."""

    def __init__(self, *tensors: Tensor):
        self._copies = [_copy(tensor) for tensor in tensors]
        self._there = None
        if tensors[0].is_cuda:  # the current device may be another one
            self._there = torch.cuda.current_stream(tensors[0].device).record_event()

    def wait(self) -> list[np.ndarray]:
        """Them, after all that the GPU was given before them."""
        if self._there:
            self._there.synchronize()
        return [copy.numpy() for copy in self._copies]


def _copy(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
