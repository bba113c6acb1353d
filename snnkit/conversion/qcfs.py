"""QCFS: the activation that an integrate-and-fire neuron computes exactly, to train ANNs with."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from snnkit.errors import UserError


def quantise(z: Tensor, theta: Tensor | float, levels: int) -> Tensor:
    """QCFS as a plain function of tensors; see `QCFS`. Gradients pass the floor as if it were not there."""
    scaled = (z / theta).clamp(0, 1) * levels + 0.5
    floored = scaled + (torch.floor(scaled) - scaled).detach()  # straight-through
    return theta * floored / levels


class QCFS(nn.Module):
    """Quantised clip-floor-shift activation (Bu et al., ICLR 2022, "Optimal ANN-SNN conversion...").

        a = θ/L · ⌊ L · clip(z/θ, 0, 1) + ½ ⌋

    An integrate-and-fire neuron with threshold θ, soft reset and starting potential θ/2, fed z in each of
    T = L steps, sends exactly a·T/θ spikes, for any constant z. So an ANN trained with QCFS loses little when
    it becomes spiking; what is left in deep networks comes from inputs that do not arrive evenly over the T
    steps.

    Gradient: the floor counts as the identity, so da/dz = 1 inside the clip range and 0 outside; θ learns
    through both the quotient and the product. The clip is taken before the floor, as in the authors' code. θ
    is kept positive by training log θ.

    Args:
        levels: L, the number of steps above zero; 4 to 8 is usual.
        theta: starting threshold θ. The paper starts at 8; for networks with batch norm 1 to 4 saves epochs.
    """

    def __init__(self, levels: int = 8, theta: float = 8.0):
        super().__init__()
        if levels < 1 or levels != int(levels):
            raise UserError(f"QCFS needs a whole number of levels, at least 1 (usual: 4 or 8); got {levels}")
        if not (theta > 0 and math.isfinite(theta)):
            raise UserError(f"QCFS needs a positive threshold theta; got {theta}")
        self.levels = int(levels)
        self.log_theta = nn.Parameter(torch.tensor(math.log(theta)))

    @property
    def theta(self) -> Tensor:
        """The threshold θ, a positive scalar."""
        return self.log_theta.exp()

    def forward(self, z: Tensor) -> Tensor:
        return quantise(z, self.theta, self.levels)

    def extra_repr(self) -> str:
        return f"levels={self.levels}, theta={self.theta.item():.4g}"


def with_qcfs(ann: nn.Sequential, *, levels: int = 8, theta: float = 8.0) -> nn.Sequential:
    """A copy of `ann` in which every ReLU is a QCFS activation, to be trained (further) before `convert`."""

    device = next((p.device for p in ann.parameters()), None)

    def swap(module: nn.Module) -> int:
        found = 0
        for name, child in list(module._modules.items()):  # a ReLU that stands in two places becomes two QCFS
            if isinstance(child, nn.ReLU):
                setattr(module, name, QCFS(levels, theta).to(device))
                found += 1
            elif child is not None:
                found += swap(child)
        return found

    changed = copy.deepcopy(ann)
    if not swap(changed):
        raise UserError(
            "with_qcfs found no torch.nn.ReLU module to replace; write activations as modules, not functions"
        )
    return changed
