"""One delay per channel: whole courses shifted in time, without weights.

    y[t, b, n] = Σ_m k_m(d[n]) · x[t - m, b, n]

This is all there is to axonal delays (before the weights) and dendritic ones (behind them); see `snnkit.kernels.delays.layer` for k.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from snnkit.kernels.delays.layer import Kernel, check_finite, gaussian, parts


def shift(x: Tensor, delay: Tensor, kernel: Kernel, rows: int, start: Tensor | None = None) -> Tensor:
    """Rows 0 .. rows - 1 of `T batch n`, each channel later by its own delay `n` [steps].

    `start` is what is under way at the start, `steps batch n`. Exact and causal. Derivatives of any order, by Gaussian delays the
    first.
    """
    y = (_by_window if kernel.form == "gaussian" else _by_taps)(x, delay, kernel, rows)
    return y if start is None else torch.cat([y[: len(start)] + start[:rows], y[len(start) :]])


def _by_taps(x: Tensor, delay: Tensor, kernel: Kernel, rows: int) -> Tensor:
    check_finite(delay)
    whole, rest = parts(delay, kernel)
    padded = F.pad(x, (0, 0, 0, 0, kernel.window, max(0, rows - len(x))))
    from_row = torch.arange(rows, device=x.device).view(-1, 1, 1) + kernel.window - whole.long()
    from_row = from_row.expand(-1, x.shape[1], -1)
    if kernel.form == "integer" and not delay.requires_grad:
        return padded.gather(0, from_row - rest.long())
    early = padded.gather(0, from_row)
    return early + rest * (padded.gather(0, from_row - 1) - early)


def _by_window(x: Tensor, delay: Tensor, kernel: Kernel, rows: int) -> Tensor:
    taps = gaussian(torch.ones_like(delay).unsqueeze(1), delay.unsqueeze(1), kernel)  # W n 1
    padded = F.pad(x.permute(1, 2, 0), (kernel.window - 1, max(1, rows) - len(x)))
    return F.conv1d(padded, taps.flip(0).permute(1, 2, 0), groups=len(delay)).permute(2, 0, 1)[:rows]
