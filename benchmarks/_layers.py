"""Linear(N, N) and LIF in several libraries: each as its documentation writes it, and as well as it can be written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import snnkit

BETA, DT, THRESHOLD = 0.95, 1e-3, 1.0
Run = Callable[[torch.Tensor], torch.Tensor]


def weight_of(n: int) -> torch.Tensor:
    """The same weights for all: uniform with variance 1/n."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(n, n, generator=generator) * 2 - 1) * math.sqrt(3 / n)


def linear(n: int) -> nn.Linear:
    layer = nn.Linear(n, n, bias=False)
    layer.weight.data.copy_(weight_of(n))
    return layer


def ours(n: int, chunk: int | None = None) -> tuple[Run, nn.Module]:
    tau = -DT / math.log(BETA)
    net = snnkit.Sequential(
        snnkit.Linear(n, n), snnkit.LIF(tau=tau, dt=DT, surrogate=snnkit.surrogate.ATan(alpha=2.0))
    )
    net[0].weight.data.copy_(weight_of(n))
    if chunk:
        from snnkit.layers import checkpoint

        return lambda x: checkpoint(net, x, chunk=chunk), net
    return net, net


def snntorch_documented(n: int) -> tuple[Run, nn.Module]:
    """Its tutorials: both layers inside the loop over time, x[step], lists, stack."""
    import snntorch

    fc, cell = linear(n), snntorch.Leaky(beta=BETA, spike_grad=snntorch.surrogate.atan(alpha=2.0))

    def run(x: torch.Tensor) -> torch.Tensor:
        mem, spikes = cell.init_leaky(), []
        for step in range(len(x)):
            spike, mem = cell(fc(x[step]), mem)
            spikes.append(spike)
        return torch.stack(spikes)

    return run, fc


def snntorch_best(n: int) -> tuple[Run, nn.Module]:
    """One product for all steps, `unbind` instead of indexing."""
    import snntorch

    fc, cell = linear(n), snntorch.Leaky(beta=BETA, spike_grad=snntorch.surrogate.atan(alpha=2.0))

    def run(x: torch.Tensor) -> torch.Tensor:
        mem, spikes = cell.init_leaky(), []
        for current in fc(x).unbind(0):
            spike, mem = cell(current, mem)
            spikes.append(spike)
        return torch.stack(spikes)

    return run, fc


def _jelly(n: int, mode: str) -> tuple[nn.Module, nn.Module]:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    fc = layer.Linear(n, n, bias=False)
    fc.weight.data.copy_(weight_of(n))
    cell = neuron.LIFNode(
        tau=1 / (1 - BETA), decay_input=False, v_reset=None, surrogate_function=surrogate.ATan(alpha=2.0)
    )
    net = nn.Sequential(fc, cell)
    functional.set_step_mode(net, mode)
    return net, fc


def jelly_documented(n: int) -> tuple[Run, nn.Module]:
    """Its tutorials: step mode "s" in a loop over time."""
    from spikingjelly.activation_based import functional

    net, fc = _jelly(n, "s")

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return torch.stack([net(x[t]) for t in range(len(x))])

    return run, fc


def jelly_best(n: int) -> tuple[Run, nn.Module]:
    """Step mode "m", which its documentation recommends for speed."""
    from spikingjelly.activation_based import functional

    net, fc = _jelly(n, "m")

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return net(x)

    return run, fc


def norse_documented(n: int) -> tuple[Run, nn.Module]:
    """Its `LIF`, which takes a whole sequence, after one product for all steps."""
    from norse.torch import LIF, LIFParameters

    fc, cell = linear(n), LIF(LIFParameters(tau_mem_inv=torch.tensor((1 - BETA) / DT)), dt=DT)
    return lambda x: cell(fc(x))[0], fc


def norse_best(n: int) -> tuple[Run, nn.Module]:
    """`LIFBoxCell`, without a synaptic current, in a loop with `unbind`."""
    from norse.torch import LIFBoxCell, LIFBoxParameters

    fc = linear(n)
    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor((1 - BETA) / DT)), dt=DT)

    def run(x: torch.Tensor) -> torch.Tensor:
        state, spikes = None, []
        for current in fc(x).unbind(0):
            spike, state = cell(current, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return run, fc


def sinabs_documented(n: int) -> tuple[Run, nn.Module]:
    """Its `LIF`, batch first, after one product for all steps; `norm_input` off, as the others add the whole input."""
    import sinabs.layers

    fc = linear(n)
    cell = sinabs.layers.LIF(tau_mem=-1 / math.log(BETA), norm_input=False)

    def run(x: torch.Tensor) -> torch.Tensor:
        cell.reset_states()
        return cell(fc(x).transpose(0, 1)).transpose(0, 1)

    return run, fc


def product_alone(n: int) -> tuple[Run, nn.Module]:
    fc = linear(n)
    return fc, fc


FLOOR = "Linear alone, sgemm (the floor of dense products)"
MODELS: dict[str, Callable[[int], tuple[Run, nn.Module]]] = {
    FLOOR: product_alone,
    "snnkit": ours,
    "SpikingJelly, as documented": jelly_documented,
    "SpikingJelly, multi-step": jelly_best,
    "snnTorch, as documented": snntorch_documented,
    "snnTorch, as well as can be": snntorch_best,
    "Norse LIFBoxCell, as well as can be": norse_best,
    "Norse LIF, as documented": norse_documented,
    "Sinabs LIF, as documented": sinabs_documented,
}
SLOW = (
    "Norse LIF, as documented",
    "Sinabs LIF, as documented",
)  # their backward takes 10 s and more at N = 2048: left out there


def build(names: list[str], n: int) -> tuple[dict[str, tuple[Run, nn.Module]], dict[str, str]]:
    """What can run here, and why the others cannot."""
    found: dict[str, tuple[Run, Any]] = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            found[name] = MODELS[name](n)
        except (ImportError, OSError, AttributeError) as error:  # broken is as absent as not installed
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found, missing
