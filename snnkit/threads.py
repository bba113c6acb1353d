"""How many threads torch and the kernels use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside the block, as many as before after it.

    For small networks: their operations are shorter than what threads cost to wake and to wait for. An epoch
    of digits took 1.5 s on one thread, and 2 to 17 s on two threads on two cores that had other work too. And
    on one thread the result does not depend on the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
