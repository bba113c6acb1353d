"""Legendre memory: exact matrices, a window that can be read, the cell word for word, time cut anywhere, learning."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.special import eval_legendre

from snnkit.errors import UserError
from snnkit.layers.memory import L2MU, LMU, legendre_matrices, legendre_readout

MS = 1e-3


@pytest.mark.parametrize("order,steps", [(1, 3.0), (4, 7.0), (7, 10.0), (12, 128.0), (24, 500.5)])
def test_matrices_are_the_exact_step(order, steps):
    i = np.arange(order)
    A = (2 * i[:, None] + 1) * np.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1)) / steps
    B = (2 * i + 1) * (-1.0) ** i / steps
    step, gain = legendre_matrices(order, steps)
    assert np.allclose(step.numpy(), expm(A), atol=1e-12)
    assert np.allclose(gain.numpy(), np.linalg.solve(A, (expm(A) - np.eye(order)) @ B), atol=1e-9)
    assert np.abs(np.linalg.eigvals(step.numpy())).max() < 1


def test_the_window_can_be_read():
    order, steps = 12, 100
    A, B = legendre_matrices(order, steps)
    t = np.arange(400)
    u = np.sin(2 * np.pi * t / 80) + 0.5 * np.cos(2 * np.pi * t / 130)
    m, seen = torch.zeros(order, dtype=torch.float64), []
    for value in u:
        m = A @ m + B * value
        seen.append(m)
    for ago in (0.1, 0.5, 1.0):
        read = torch.stack(seen) @ legendre_readout(order, ago)
        late = np.interp(t - ago * steps + 0.5, t, u)  # held over a step, a sample is half a step late
        assert np.abs(read.numpy() - late)[200:].max() < 0.02
    assert np.allclose(legendre_readout(6, 0.3).numpy(), [eval_legendre(n, -0.4) for n in range(6)])


def drive(T=20, B=3, n=4, seed=0):
    return torch.rand(T, B, n, generator=torch.Generator().manual_seed(seed)) - 0.2


def cell_of(kind, **options):
    g = torch.Generator().manual_seed(1)
    return kind(4, 6, order=5, theta=9 * MS, dt=MS, memory=3, generator=g, **options)


@pytest.mark.parametrize("kind", [LMU, L2MU])
def test_cutting_time_changes_no_bit_and_everything_learns(kind):
    cell, x = cell_of(kind), drive()
    whole, end = cell.scan(x)
    head, state = cell.scan(x[:7])
    tail, same = cell.scan(x[7:], state)
    assert torch.equal(torch.cat([head, tail]), whole) and torch.equal(same.m, end.m)
    (whole * torch.arange(6.0).cos()).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in cell.parameters())
    if kind is L2MU:
        assert set(whole.unique().tolist()) == {0.0, 1.0} and set(end.m.unique().tolist()) <= {0.0, 1.0}
    assert len(list(cell_of(kind, learn_memory=True).parameters())) == len(list(cell.parameters())) + 2


def test_the_spiking_cell_word_for_word():
    cell, x = cell_of(L2MU, u=(0.7, 0.1), m=(0.15, 0.3), h=(0.4, 0.5)), drive(30)
    w = {k: getattr(cell, k).weight for k in ("E_x", "E_h", "E_m", "W_x", "W_h", "W_m")}
    s = {"u": torch.zeros(3, 3), "m": torch.zeros(3, 3, 5), "h": torch.zeros(3, 6)}
    v, counts = dict(s), dict.fromkeys(s, 0.0)

    def fire(name, current, beta, theta):
        v[name] = beta * v[name] + current - s[name] * theta
        s[name] = (v[name] >= theta).float()
        counts[name] += float(s[name].sum())

    for x_t, found in zip(x, cell(x), strict=True):
        fire("u", x_t @ w["E_x"].t() + s["h"] @ w["E_h"].t() + s["m"].flatten(1) @ w["E_m"].t(), 0.7, 0.1)
        fire("m", s["m"] @ cell.A.t() + s["u"].unsqueeze(-1) * cell.B, 0.15, 0.3)
        fire("h", x_t @ w["W_x"].t() + s["h"] @ w["W_h"].t() + s["m"].flatten(1) @ w["W_m"].t(), 0.4, 0.5)
        assert torch.equal(s["h"], found)
    assert all(count > 20 for count in counts.values())
    assert not w["E_m"].any()


def test_it_learns_to_remember():
    """Whether the first of three pulses was strong, asked at the end: the memory has to hold it."""
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(18, 64, 1)
    x[[0, 6, 12]] = 0.2 + 0.6 * (torch.rand(3, 64, 1, generator=g) < 0.5)
    y = (x[0, :, 0] > 0.5).float()
    cell, read = LMU(1, 8, order=6, theta=18 * MS, dt=MS, generator=g), torch.nn.Linear(8, 1)
    torch.nn.init.zeros_(read.weight)
    torch.nn.init.zeros_(read.bias)
    optimiser = torch.optim.Adam([*cell.parameters(), *read.parameters()], lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(read(cell(x)[-1])[:, 0], y)
        loss.backward()
        optimiser.step()
    assert float(((read(cell(x)[-1])[:, 0] > 0).float() == y).float().mean()) > 0.95


def test_mistakes_are_said():
    with pytest.raises(UserError, match="at least dt"):
        LMU(3, 4, order=2, theta=0.5 * MS, dt=MS)
    with pytest.raises(UserError, match="order is at least 1"):
        LMU(3, 4, order=0, theta=5 * MS, dt=MS)
    with pytest.raises(UserError, match="T B 4"):
        cell_of(L2MU)(torch.zeros(5, 2, 3))
    with pytest.raises(UserError, match="positive number of steps"):
        legendre_matrices(3, -1.0)
