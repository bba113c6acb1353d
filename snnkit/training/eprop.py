"""Eligibility propagation: backpropagation through time but for what spikes do to other neurons later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers.linear import Linear
from snnkit.layers.recurrent import Recurrent
from snnkit.layers.sequential import Sequential
from snnkit.neurons.base import Neuron
from snnkit.neurons.readout import LeakyIntegrator
from snnkit.training.learner import Loss, OnlineLearner, accumulate


@dataclass(frozen=True, eq=False)
class _Block:
    """Synapses, the neuron behind them, and synapses among its neurons."""

    synapses: Linear
    neuron: Neuron
    back: Linear | None


class EProp(OnlineLearner):
    """Eligibility propagation (Bellec et al. 2020, Nat Commun 11:3625), with any neuron of one input port and one output.

        ε[t] = ∂h[t]/∂h[t-1]·ε[t-1] + ∂h[t]/∂W        e[t] = ∂s[t]/∂h·ε        ∂L/∂W ≈ Σ_t (δ[t]·B) ē[t]

    h are all states of the neuron, so its reset and adaptation are in ε as far as it has gradients there (`detach_reset`); δ[t] is
    the gradient of this step's loss at the output, ē the eligibility e filtered as the readout filters. Left out is that a
    neuron's spikes act on others later: through recurrent synapses and, with several hidden layers, through the layers between.
    So with one hidden layer that is not recurrent and symmetric feedback it is exactly backpropagation through time.

    Args:
        net: `Linear` with a neuron or a `Recurrent` behind it, once or more often, then the readout: a `Linear`, and maybe a
            `LeakyIntegrator`. Memory is one number per sample, synapse and state.
        loss: see `OnlineLearner`.
        feedback: "symmetric": B is the product of the weights behind a layer; "random": fixed, normal with variance 1/outputs.
        generator: random numbers of that; default torch's own.
    """

    def __init__(
        self,
        net: Sequential,
        loss: Loss,
        *,
        feedback: str = "symmetric",
        generator: torch.Generator | None = None,
    ):
        super().__init__(net, loss)
        if feedback not in ("symmetric", "random"):
            raise UserError(f'EProp: feedback is "symmetric" or "random", got {feedback!r}')
        self._blocks, self._readout, self._integrator = _parsed(list(net))
        self._random = None
        if feedback == "random":
            out = self._readout.out_features
            self._random = [
                torch.randn(out, b.synapses.out_features, generator=generator) * out**-0.5
                for b in self._blocks
            ]

    @torch.no_grad()
    def step(self, x_t: Tensor, target: Any = None) -> Tensor:
        x, eligible = x_t, []
        kappa, gain = self._filter(x_t)
        for k, block in enumerate(self._blocks):
            x, e = self._hidden(k, block, x)
            eligible.append(self._filtered(("eligible", k), e, kappa, gain))
        ones = x.new_ones(len(x), 1)
        seen = self._filtered("seen", torch.cat([x, ones], 1), kappa, gain)
        y = self._readout.step(x)[0]
        if self._integrator is not None:
            y, self._held["readout"] = self._integrator.step(y, self._held.get("readout"))
        if target is not None:
            self._learn(y, target, eligible, seen)
        return y

    def _hidden(self, k: int, block: _Block, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of a block, and their derivative by each of its synapses, `B n_out n_pre` (inputs, one, its own spikes)."""
        pre = [x, x.new_ones(len(x), 1)]
        current = block.synapses.step(x)[0]
        if block.back is not None:
            before = self._held.get(("spikes", k), torch.zeros_like(current))
            current = current + block.back.step(before)[0]
            pre.append(before)
        signal = torch.cat(pre, 1).unsqueeze(1)  # B 1 n_pre
        state = self._held.get(("state", k))
        state = block.neuron.initial_state(current) if state is None else state
        spikes, after, slopes = _slopes(block.neuron, current, state)
        held = self._held.get(("vectors", k), [torch.zeros((), dtype=x.dtype, device=x.device)] * len(state))
        rows = [
            sum(d.unsqueeze(2) * v for d, v in zip(row[1:], held, strict=True)) + row[0].unsqueeze(2) * signal
            for row in slopes
        ]
        self._held["vectors", k], self._held["state", k] = rows[1:], after
        if block.back is not None:
            self._held["spikes", k] = spikes
        return spikes, rows[0]

    def _filter(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What the readout keeps of its membrane in a step, and what it takes of its input."""
        if self._integrator is None:
            return like.new_zeros(()), like.new_ones(())
        one = like.new_ones(1, 1)
        _, _, slopes = _slopes(self._integrator, one, self._integrator.State(one))
        return slopes[0][1].reshape(()), slopes[0][0].reshape(())

    def _filtered(self, key: Any, x: Tensor, kappa: Tensor, gain: Tensor) -> Tensor:
        if self._integrator is None:
            return x
        before = self._held.get(key)
        self._held[key] = gain * x if before is None else kappa * before + gain * x
        return self._held[key]

    def _learn(self, y: Tensor, target: Any, eligible: Sequence[Tensor], seen: Tensor) -> None:
        with torch.enable_grad():
            leaf = y.detach().requires_grad_()
            (delta,) = torch.autograd.grad(self.loss(leaf, target), leaf)
        _add(self._readout, None, delta.T @ seen)
        weight = self._readout.weight
        for k in reversed(range(len(self._blocks))):
            block = self._blocks[k]
            back = weight if self._random is None else self._random[k].to(weight)
            signal = delta @ back
            _add(block.synapses, block.back, torch.einsum("bn,bnp->np", signal, eligible[k]))
            weight = weight @ block.synapses.weight


def _add(synapses: Linear, back: Linear | None, gradient: Tensor) -> None:
    """Columns: inputs, one, own spikes."""
    n = synapses.in_features
    accumulate(synapses.weight, gradient[:, :n])
    if synapses.bias is not None:
        accumulate(synapses.bias, gradient[:, n])
    if back is not None:
        accumulate(back.weight, gradient[:, n + 1 :])
        if back.bias is not None:
            accumulate(back.bias, gradient[:, n])


def _slopes(neuron: Neuron, x: Tensor, state: Any) -> tuple[Tensor, Any, list[list[Tensor]]]:
    """One step, and the derivatives of (output, *states) by (input, *states): neurons do not mix, so one number each."""
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part in (x, *state)]
        y, after = neuron.step(leaves[0], type(state)(*leaves[1:]))
        slopes = []
        for result in (y, *after):
            found: Sequence[Tensor | None] = [None] * len(leaves)
            if result.requires_grad:
                found = torch.autograd.grad(result.sum(), leaves, retain_graph=True, allow_unused=True)
            slopes.append([torch.zeros_like(x) if g is None else g for g in found])
    return y.detach(), type(after)(*(part.detach() for part in after)), slopes


def _parsed(layers: list[nn.Module]) -> tuple[list[_Block], Linear, LeakyIntegrator | None]:
    """Hidden blocks, the readout's synapses and its integrator."""
    given = ", ".join(type(layer).__name__ for layer in layers)
    integrator = layers[-1] if isinstance(layers[-1], LeakyIntegrator) else None
    layers = layers if integrator is None else layers[:-1]
    readout = layers[-1] if layers and isinstance(layers[-1], Linear) else None
    layers = layers[:-1]
    pairs = list(zip(layers[::2], layers[1::2], strict=False))
    blocks = [_block(synapses, cell) for synapses, cell in pairs]
    if readout is None or not blocks or len(layers) % 2 or None in blocks:
        raise UserError(
            "EProp needs Linear and a neuron (or Recurrent(neuron, Linear)) in turn, then a Linear readout and maybe a "
            f"LeakyIntegrator; got {given}"
        )
    if integrator is not None and integrator.tau.numel() != 1:
        raise UserError("EProp filters as the readout does: give the LeakyIntegrator one tau for all outputs")
    return [b for b in blocks if b is not None], readout, integrator


def _block(synapses: nn.Module, cell: nn.Module) -> _Block | None:
    back = cell.weight if isinstance(cell, Recurrent) else None
    neuron = cell.neuron if isinstance(cell, Recurrent) else cell
    if not isinstance(synapses, Linear) or not isinstance(neuron, Neuron):
        return None
    if back is not None and not isinstance(back, Linear):
        return None
    return _Block(synapses, neuron, back) if len(neuron.equation.ports) == 1 else None
