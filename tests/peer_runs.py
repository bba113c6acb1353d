"""A neuron of SpikingJelly and one of ours on the same input: spikes, and the gradient of the input."""

from __future__ import annotations

import pytest
import torch


def theirs():
    """SpikingJelly's neurons and surrogates, or a skipped test."""
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed: make peers")
    from spikingjelly.activation_based import neuron, surrogate

    return neuron, surrogate


def drive(*shape, low=-0.3, high=0.9, seed=0, dtype=torch.float64):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return low + (high - low) * x


def run_theirs(cell, x):
    """One call per step; nodes that take whole sequences say so by step_mode."""
    x = x.clone().requires_grad_()
    cell.to(x.dtype)
    whole = getattr(cell, "step_mode", "m") == "m"
    spikes = cell(x) if whole else torch.stack([cell(x_t) for x_t in x])
    return spikes.detach(), _gradient(spikes, x)


def run_ours(cell, x):
    x = x.clone().requires_grad_()
    spikes = cell(x)
    return spikes.detach(), _gradient(spikes, x)


def _gradient(spikes, x):
    weights = torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    (spikes * weights).sum().backward()
    return x.grad


def assert_same(peer, mine, x, rtol=1e-9):
    """The same spikes, some and not all, and the same gradients up to rounding."""
    (a, da), (b, db) = run_theirs(peer, x), run_ours(mine, x)
    assert torch.equal(a, b) and 0.02 < (a != 0).double().mean() < 0.9
    assert torch.allclose(da, db, rtol=rtol, atol=1e-9 * float(da.abs().max()))
