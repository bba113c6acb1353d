"""What the tests of parity with other libraries share: inputs, and running theirs and ours side by side."""

import torch

from snnkit.neurons import use_reference

STEPS, BATCH, NEURONS = 200, 4, 64


def drive(gain, ties):
    """Random input [T, B, N]; with ties it comes in eighths, so that membranes hit their threshold exactly."""
    generator = torch.Generator().manual_seed(11)
    x = gain * (0.35 + 0.6 * torch.randn(STEPS, BATCH, NEURONS, generator=generator))
    return (x * 8).round() / 8 if ties else x


def step_by_step(cell, x, membrane):
    """Their spikes and the membranes after every step; `membrane(cell, answer)` finds it."""
    spikes, states = [], []
    for x_t in x:
        answer = cell(x_t)
        spikes.append(answer[0] if isinstance(answer, tuple) else answer)
        states.append(membrane(cell, answer).clone())
    return torch.stack(spikes), torch.stack(states)


def ours(net, x):
    """The same of a network whose last layer is the neuron."""
    spikes, states, state = [], [], None
    with use_reference():
        for x_t in x:
            s, state = net.step(x_t, state)
            spikes.append(s)
            states.append(state[-1].v)
    return torch.stack(spikes), torch.stack(states)


def assert_alike(theirs, mine, low=0.01, high=0.7, rounding=2e-6):
    """Every spike equal, at a rate that says something, and states to rounding."""
    assert low < theirs[0].mean() < high
    assert torch.equal(theirs[0], mine[0])
    torch.testing.assert_close(theirs[1], mine[1], rtol=rounding, atol=rounding)
