"""Whether torch looks into operations: then our kernels, which it cannot look into, stand aside for plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch

_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


def transformed() -> bool:
    """Whether this call is compiled, or inside of a transform of `torch.func`, whatever tensors it is about."""
    return torch.compiler.is_compiling() or _active()
