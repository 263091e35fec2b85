"""How do tensors travel between host and GPU without either waiting for the other? By pinned memory and events."""

import numpy as np
import torch
from torch import Tensor


def to_device(values, device) -> Tensor:
    """A host array or tensor on the device; on a CPU the same memory, not a copy."""
    values = torch.as_tensor(values)
    if torch.device(device).type != "cuda" or values.is_cuda:
        return values.to(device)
    # Only pinned memory is copied while the host goes on; from pageable memory `non_blocking` still waits.
    return values.pin_memory().to(device, non_blocking=True)


class AsyncHostCopy:
    """Copies of tensors on the host, under way from the moment this is made. Host tensors are not copied."""

    def __init__(self, *tensors: Tensor):
        self._copies = [_copy(tensor) for tensor in tensors]
        self._arrived = None
        if tensors[0].is_cuda:  # the event goes into the tensors' stream: the current device may be another one
            self._arrived = torch.cuda.current_stream(tensors[0].device).record_event()

    def wait(self) -> list[np.ndarray]:
        """The arrays, once the GPU has done all that it was given before the copies."""
        if self._arrived:
            self._arrived.synchronize()
        return [copy.numpy() for copy in self._copies]


def _copy(tensor: Tensor) -> Tensor:
    if not tensor.is_cuda:
        return tensor
    # The tensor may be freed at once: PyTorch hands its memory out again only to work queued behind this copy.
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
