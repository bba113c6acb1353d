"""Learning while the sequence runs: e-prop, OTTT and local losses, in memory that does not grow with its length.

    learner = online.EProp(net, loss)
    for x_t in sequence:                 # T B N, dense
        y_t = learner.step(x_t, target)  # adds the gradient of this step's loss to .grad
    optimizer.step(); optimizer.zero_grad(); learner.reset()

What these rules have in common is a trace of what came in, kept forward in time, instead of a backward pass through it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from snnkit.errors import UserError
from snnkit.layers.base import Stateless
from snnkit.layers.conv import Conv2d
from snnkit.layers.linear import Linear
from snnkit.layers.sequential import Sequential
from snnkit.neurons.base import Neuron
from snnkit.neurons.cuba import CubaLIF
from snnkit.neurons.lif import IF, LIF
from snnkit.neurons.readout import LeakyIntegrator
from snnkit.training.eprop import EProp
from snnkit.training.learner import Loss, OnlineLearner

__all__ = ["DECOLLE", "OTTT", "EProp", "OnlineLearner", "filters"]

# -- traces of the input, for neurons whose membrane is a linear filter between resets -----------------------------------


PLAIN = (LIF, LeakyIntegrator)
EXPLICIT = ("exact", "euler")  # solvers by which the membrane keeps neuron.decay(tau) of itself in a step


def filters(neuron: Neuron) -> list[Tensor]:
    """Factors per step of the filters between input and membrane, reset left out: IF 1, LIF exp(-dt/τ), CubaLIF two.

    Raises:
        UserError: the membrane is no such filter, or differs from neuron to neuron, which would need a trace per synapse.
    """
    name = type(neuron).__name__
    if type(neuron) is IF:
        found = [torch.ones(())]
    elif isinstance(neuron, LIF | LeakyIntegrator) and type(neuron) in PLAIN and neuron.solver in EXPLICIT:
        found = [neuron.decay(neuron.tau)]
    elif type(neuron) is CubaLIF and neuron.equation is CubaLIF.equation:  # no other order or solver
        found = [neuron.decay(neuron.tau_syn), neuron.decay(neuron.tau_mem)]
    else:
        raise UserError(
            f"traces are kept for IF, LIF, LeakyIntegrator and CubaLIF as they are by default, got {name}; EProp takes any neuron"
        )
    if any(factor.numel() != 1 for factor in found):
        raise UserError(f"traces need one time constant for all neurons of {name}; EProp takes several")
    return [factor.detach().reshape(()) for factor in found]


def _traced(layer: nn.Module, x: Tensor, trace: Tensor, ones: Tensor) -> Tensor:
    """`layer(x)` whose gradient for the weights sees the trace instead of x; that for x is the usual one."""
    parameters: dict[str, Tensor] = dict(layer.named_parameters())
    value = functional_call(layer, {k: p.detach() for k, p in parameters.items()}, (x.unsqueeze(0),))[0]
    if "bias" in parameters:
        parameters["bias"] = parameters["bias"] * ones
    ghost = functional_call(layer, parameters, (trace.unsqueeze(0),))[0]
    return value + (ghost - ghost.detach())


class OTTT(OnlineLearner):
    """Online training through time (Xiao et al. 2022, NeurIPS, arXiv:2210.04195).

        trace[t] = λ·trace[t-1] + s_in[t]        ∂L/∂W ≈ Σ_t δ[t] ⊗ trace[t]

    δ[t] is the gradient of this step's loss at the membrane, by backpropagation through the layers of step t only. Left out are
    the reset and the influence of earlier spikes of a hidden layer on later losses. So with a detached reset by subtraction the
    gradients of the last weights are those of backpropagation through time; in a single layer that is all of them.

    Args:
        net: synapses (`Linear`, `Conv2d`) each followed by IF, LIF, CubaLIF or LeakyIntegrator, layers without weights between
            them; the last synapses may stand alone.
        loss: see `OnlineLearner`.
    """

    local = False

    def __init__(self, net: Sequential, loss: Loss):
        super().__init__(net, loss)
        self._filters = _filters_of(type(self).__name__, net)

    def step(self, x_t: Tensor, target: Any = None) -> Tensor:
        with torch.set_grad_enabled(target is not None):
            y, lost = self._through(x_t, target)
        if lost is not None:
            lost.backward()
        return y.detach()

    def _through(self, x: Tensor, target: Any) -> tuple[Tensor, Tensor | None]:
        for k, layer in enumerate(self.net):
            x = self._layer(k, layer, x)
        return x, None if target is None else self.loss(x, target)

    def _layer(self, k: int, layer: nn.Module, x: Tensor) -> Tensor:
        if k in self._filters:
            trace, ones = self._trace(k, x.detach())
            return _traced(layer, x, trace, ones)
        if isinstance(layer, Neuron):
            x, state = layer.step(x, self._held.get(("state", k)))
            self._held["state", k] = type(state)(*(part.detach() for part in state))
            return x
        step = getattr(layer, "step", None)
        return step(x)[0] if step else layer(x)

    def _trace(self, k: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input of layer k through the filters of its neuron, and the same of a constant one, for the bias."""
        factors = self._filters[k]
        if not factors:
            return x, x.new_ones(())
        before = self._held.get(("trace", k)) or [(torch.zeros_like(x), x.new_zeros(()))] * len(factors)
        now, after = (x, x.new_ones(())), []
        for factor, (trace, ones) in zip(factors, before, strict=True):
            a = factor.to(x)
            now = (a * trace + now[0], a * ones + now[1])
            after.append(now)
        self._held["trace", k] = after
        return now


def _filters_of(rule: str, net: Sequential) -> dict[int, list[Tensor]]:
    """For the place of each layer with weights: the filters of the neuron behind it."""
    found: dict[int, list[Tensor]] = {}
    layers = [*net, None]
    for k, (layer, behind) in enumerate(pairwise(layers)):
        if isinstance(layer, (Linear, Conv2d)):
            if behind is not None and not isinstance(behind, Neuron):
                raise UserError(
                    f"{rule}: layer {k} ({type(layer).__name__}) should be followed by its neuron, got "
                    f"{type(behind).__name__}; put pooling and flattening behind the neuron"
                )
            found[k] = [] if behind is None else filters(behind)
        elif not isinstance(layer, Neuron) and any(True for _ in layer.parameters()):
            raise UserError(
                f"{rule} trains Linear and Conv2d, not {type(layer).__name__}; EProp takes Recurrent"
            )
        elif not isinstance(layer, (Neuron, Stateless)) and hasattr(layer, "scan"):
            raise UserError(f"{rule}: layer {k} ({type(layer).__name__}) has a memory of its own")
    if not found:
        raise UserError(f"{rule} needs a Linear or Conv2d layer to train")
    return found


class DECOLLE(OTTT):
    """Local losses at every layer, no gradient between layers (Kaiser, Mostafa & Neftci 2020, Front Neurosci 14:424).

        y_l[t] = G_l·s_l[t] with G_l fixed and random        ∂L/∂W_l = Σ_t G_lᵀ ∂loss(y_l[t])/∂y ⊙ σ'(u_l[t]) ⊗ trace[t]

    The loss of a step is the sum over layers. The paper's regularisers of membrane and rate are left out.

    Args:
        net: as for `OTTT`, ending with a neuron; every neuron gets a readout.
        classes: size of the readouts.
        loss: loss(y_l, target) -> scalar, with y_l `B classes`.
        generator: random numbers of the readouts; default torch's own.

    `step` answers the readout of the last layer.
    """

    def __init__(
        self, net: Sequential, classes: int, loss: Loss, *, generator: torch.Generator | None = None
    ):
        super().__init__(net, loss)
        if not isinstance(net[-1], Neuron):
            raise UserError(f"DECOLLE reads spikes of every layer: end the net with a neuron, not {net[-1]}")
        if classes < 1:
            raise UserError(f"DECOLLE needs at least one class, got {classes}")
        self.classes, self._generator = classes, generator
        self._readouts: dict[int, Tensor] = {}

    def readout(self, k: int, spikes: Tensor) -> Tensor:
        """The readout `B classes` of the neuron at place k of the net for its spikes `B *N`; weights are uniform in ±1/√N."""
        flat = spikes.flatten(1)
        if k not in self._readouts:
            bound = flat.shape[1] ** -0.5
            drawn = torch.rand(self.classes, flat.shape[1], generator=self._generator)
            self._readouts[k] = ((2 * drawn - 1) * bound).to(flat)
        return flat @ self._readouts[k].T

    def _through(self, x: Tensor, target: Any) -> tuple[Tensor, Tensor | None]:
        lost: Tensor | None = None
        y = x
        for k, layer in enumerate(self.net):
            x = self._layer(k, layer, x)
            if isinstance(layer, Neuron):
                y = self.readout(k, x)
                if target is not None:
                    part = self.loss(y, target)
                    lost = part if lost is None else lost + part
                x = x.detach()
        return y, lost
