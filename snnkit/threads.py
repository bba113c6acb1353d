"""How many threads torch and the kernels use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside the block, as many as before after it.

    So results do not depend on the number of cores: torch's sums do. It also spares small networks on busy machines,
    where threads wait for each other: a training step of the digits recipe took 37 ms on one thread and 21 ms on two of
    an idle machine with two cores, but 2 to 10 times as long on two once other work held the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
