"""Gated cells: against their equations, snnTorch's SLSTM, finite differences, time cut anywhere."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers import L2MU, LMU, LiquidLIF, Recurrent, Sequential, SpikingGRU, SpikingLSTM
from snnkit.neurons import Decay, surrogate
from snnkit.training import load_weights, save_weights

MS = 1e-3
D = torch.float64
FLAT = surrogate.Rectangular(1e-3)  # no gradient through spikes that are far away


def drive(T=12, B=3, n=4, seed=0, dtype=D):
    return torch.randn(T, B, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make(kind, **options):
    g = torch.Generator().manual_seed(1)
    if kind is SpikingLSTM:
        return SpikingLSTM(4, 5, generator=g, **{"threshold": 0.1, **options}).double()
    if kind is SpikingGRU:
        return SpikingGRU(4, 5, tau_syn=4 * MS, dt=MS, generator=g, **{"threshold": 0.3, **options}).double()
    return LiquidLIF(4, tau=3 * MS, dt=MS, generator=g, **{"threshold": 0.3, **options}).double()


KINDS = (SpikingLSTM, SpikingGRU, LiquidLIF)
CASES = [
    *((SpikingLSTM, {"reset": r}) for r in ("none", "subtract", "zero")),
    (SpikingGRU, {}),
    (SpikingGRU, {"detach_reset": True}),
    *((LiquidLIF, {"reset": r}) for r in ("none", "subtract", "zero")),
]


def lstm_by_hand(cell, x, reset):
    p = dict(cell.cell.named_parameters())
    c = h = torch.zeros(x.shape[1], 5, dtype=D)
    rows = []
    for x_t in x:
        gates = x_t @ p["weight_ih"].t() + h @ p["weight_hh"].t() + p["bias_ih"] + p["bias_hh"]
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        r = (h >= cell.threshold).double()
        h = o.sigmoid() * c.tanh()
        h = {"none": h, "subtract": h - r * cell.threshold, "zero": h * (1 - r)}[reset]
        rows.append((h >= cell.threshold).double())
    return torch.stack(rows)


def gru_by_hand(cell, x, _):
    w, u, b = cell.input.weight, cell.back.weight, cell.input.bias
    i = v = s = torch.zeros(x.shape[1], 5, dtype=D)
    alpha, rows = torch.exp(torch.tensor(-1 / 4, dtype=D)), []
    for x_t in x:
        i = alpha * i + x_t @ w[:5].t() + s @ u[:5].t() + b[:5]
        z = torch.sigmoid(x_t @ w[5:].t() + s @ u[5:].t() + b[5:])
        v = z * v + (1 - z) * i - cell.threshold * s
        s = (v >= cell.threshold).double()
        rows.append(s)
    return torch.stack(rows)


def liquid_by_hand(cell, x, reset):
    v = s = torch.zeros(x.shape[1], 4, dtype=D)
    rows = []
    for x_t in x:
        v = {"none": v, "subtract": v - s * cell.threshold, "zero": v * (1 - s)}[reset]
        a = torch.sigmoid(x_t @ cell.from_x.weight.t() + v @ cell.from_v.weight.t() + cell.from_x.bias)
        v = v + a * (x_t - v)
        s = (v >= cell.threshold).double()
        rows.append(s)
    return torch.stack(rows)


@pytest.mark.parametrize("kind, options", CASES)
@torch.no_grad()
def test_equals_its_equations(kind, options):
    cell, x = make(kind, **options), drive(40)
    with_bias = [p for name, p in cell.named_parameters() if "bias" in name]
    for p in with_bias:
        p.normal_(0, 0.5, generator=torch.Generator().manual_seed(5))
    by_hand = {SpikingLSTM: lstm_by_hand, SpikingGRU: gru_by_hand, LiquidLIF: liquid_by_hand}[kind]
    y = cell(x)
    assert torch.equal(y, by_hand(cell, x, cell.reset)) and 0.05 < float(y.mean()) < 0.95


@pytest.mark.parametrize("kind, options", CASES)
def test_cuts_and_steps_are_the_same_bits(kind, options):
    cell, x = make(kind, **options).float(), drive(20, dtype=torch.float32)
    whole, end = cell.scan(x)
    for cut in (1, 8, 19):
        head, state = cell.scan(x[:cut])
        tail, last = cell.scan(x[cut:], state)
        assert torch.equal(torch.cat([head, tail]), whole)
        assert all(torch.equal(a, b) for a, b in zip(last, end, strict=True))
    state, rows = None, []
    for x_t in x:
        y, state = cell.step(x_t, state)
        rows.append(y)
    assert torch.equal(torch.stack(rows), whole) and torch.equal(cell(x), whole)
    assert all(len(s) == 3 and s.shape[1] == whole.shape[2] for s in end)


@pytest.mark.parametrize("kind", KINDS)
def test_membranes_have_the_gradients_of_finite_differences(kind):
    """Without spikes in reach everything is smooth; with some, the constant spikes of a fixed run are."""
    cell = make(kind, threshold=50.0, surrogate=FLAT)
    names, values = zip(
        *((k, p.detach().clone().requires_grad_()) for k, p in cell.named_parameters()), strict=True
    )

    def run(x, *given):
        class Call(nn.Module):
            def __init__(self):
                super().__init__()
                self.cell = cell

            def forward(self, x):
                return self.cell.scan(x)[1]

        given = {f"cell.{k}": v for k, v in zip(names, given, strict=True)}
        return tuple(torch.func.functional_call(Call(), given, (x,)))

    assert torch.autograd.gradcheck(run, (drive(4, 2).requires_grad_(), *values))


def test_gradients_through_spikes_agree_with_a_recursion_by_hand():
    cell, x = make(SpikingGRU, surrogate=surrogate.ATan(2.0)), drive(15).requires_grad_()
    spikes, weights = cell(x), drive(15, 3, 5, seed=3)
    (spikes * weights).sum().backward()
    with torch.no_grad():
        w, u, theta, alpha = cell.input.weight, cell.back.weight, cell.threshold, cell.alpha
        state, kept = cell.initial_state(x[0]), []
        for x_t in x:
            i, v, s = state
            both = x_t @ w.t() + cell.input.bias + s @ u.t()
            z = torch.sigmoid(both[:, 5:])
            _, state = cell.step(x_t, state)
            kept.append((v, z, state.i, state.v, s))
        gi = gv = gs = torch.zeros(3, 5, dtype=D)
        g_back = torch.zeros_like(u)
        for t in range(14, -1, -1):
            v_old, z, i, v, s_old = kept[t]
            gv = gv + (weights[t] + gs) / (1 + (torch.pi * (v - theta)) ** 2)
            gi = gi + gv * (1 - z)
            g_gate = gv * (v_old - i) * z * (1 - z)
            both = torch.cat([gi, g_gate], 1)
            assert torch.allclose(x.grad[t], both @ w, rtol=1e-9, atol=1e-12)
            g_back += both.t() @ s_old
            gs = both @ u - theta * gv
            gi, gv = alpha * gi, z * gv
    assert torch.allclose(cell.back.weight.grad, g_back, rtol=1e-9) and bool(g_back.any())


@pytest.mark.parametrize("reset", ["none", "subtract", "zero"])
def test_the_lstm_is_that_of_snntorch(reset):
    """Of equal input and hidden size: for others snnTorch 0.9 begins every step from zeros."""
    snn = pytest.importorskip("snntorch")
    theirs = snn.SLSTM(6, 6, threshold=0.15, reset_mechanism=reset)
    mine = SpikingLSTM(6, 6, threshold=0.15, reset=reset, compare=">")
    mine.cell.load_state_dict(theirs.lstm_cell.state_dict())
    x = torch.randn(60, 4, 6, generator=torch.Generator().manual_seed(2))
    syn, mem, state, count = *theirs.init_slstm(), None, 0.0
    for x_t in x:
        spk, syn, mem = theirs(x_t, syn, mem)
        s, state = mine.step(x_t, state)
        assert torch.equal(s, spk)
        torch.testing.assert_close(state.h, mem, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(state.c, syn, rtol=1e-5, atol=1e-6)
        count += float(s.detach().mean())
    assert 0.02 < count / 60 < 0.9


def test_the_liquid_constant_is_the_one_asked_for():
    cell = LiquidLIF(2, tau=20 * MS, dt=MS, threshold=9.0)
    with torch.no_grad():
        for layer in (cell.from_x, cell.from_v):
            layer.weight.zero_()
        _, state = cell.scan(torch.ones(20, 1, 2))
    assert torch.allclose(state.v, torch.tensor(1 - (1 - 1 / 20) ** 20))
    loop = Recurrent(LiquidLIF(4, tau=5 * MS, dt=MS, threshold=0.3), nn.Linear(4, 4))
    assert loop(drive(6, dtype=torch.float32)).shape == (6, 3, 4)


def test_decays_and_what_is_learned():
    cell = SpikingGRU(4, 5, tau_syn=Decay(0.6), dt=MS, learn="threshold")
    assert float(cell.alpha) == pytest.approx(0.6) and isinstance(cell.threshold, nn.Parameter)
    cell(drive(dtype=torch.float32)).sum().backward()
    assert cell.threshold.grad is not None and bool(cell.threshold.grad)


@torch.no_grad()
def test_operations_are_counted():
    x = (drive(10, dtype=torch.float32) > 0.3).float()
    events = float(x.sum()) / 3
    net = Sequential(make(SpikingGRU).float())
    with trace(net) as seen:
        y = net(x)
    assert seen.layers["0_input"].synops == pytest.approx(events * 10)
    assert seen.layers["0_back"].synops == pytest.approx(float(y[:-1].sum()) * 10 / 3)
    assert seen.layers["0_neuron"].spikes == pytest.approx(float(y.sum()) / 3) and seen.total("macs") == 0
    net = Sequential(make(SpikingLSTM).float())
    with trace(net) as seen:
        y = net(x)
    assert seen.layers["0_input"].synops == pytest.approx(events * 20)
    assert seen.layers["0_back"].macs == 10 * 5 * 20  # the hidden state is no spike
    assert (seen.layers["0_neuron"].neurons, seen.layers["0_neuron"].updates) == (5, 50)
    net = Sequential(make(LiquidLIF).float())
    with trace(net) as seen:
        net(x)
    assert seen.layers["0_from_v"].macs == 10 * 16 and not seen.uncounted


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: SpikingLSTM(3, 4, reset="soft"), "unknown reset"),
        (lambda: SpikingLSTM(3, 0), "n_hidden is at least 1"),
        (lambda: SpikingGRU(3, 4, tau_syn=1 * MS, dt=5 * MS), "dt < tau_syn"),
        (lambda: LiquidLIF(3, tau=1.0, dt=2.0), "0 < dt < tau"),
        (lambda: SpikingLSTM(3, 4, learn="tau"), "unknown learn"),
        (lambda: SpikingLSTM(3, 4)(torch.zeros(5, 2, 4)), "T B 3"),
        (lambda: SpikingGRU(3, 4, tau_syn=9 * MS, dt=MS, compare="="), "unknown compare"),
    ],
)
def test_mistakes_are_said(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_events_are_made_dense_in_a_row_and_refused_alone(tmp_path):
    x = (drive(10, dtype=torch.float32) > 0.3).float()
    for kind in KINDS:
        cell = make(kind).float()
        net = Sequential(nn.Identity(), cell)
        assert torch.equal(net(EventTensor.from_dense(x, MS)), cell(x))
        with pytest.raises(TypeError, match="write x"):
            cell(EventTensor.from_dense(x, MS))
        save_weights(net, tmp_path / "net")
        other = Sequential(
            nn.Identity(), kind(4, 5, tau_syn=4 * MS, dt=MS) if kind is SpikingGRU else copy.deepcopy(cell)
        )
        with torch.no_grad():
            for p in other.parameters():
                p.zero_()
        load_weights(other, tmp_path / "net")
        if kind is not SpikingGRU:
            assert torch.equal(other(x), cell(x))
        assert all(torch.equal(a, b) for a, b in zip(other.parameters(), net.parameters(), strict=True))


CELLS = {
    "LSTM": lambda: SpikingLSTM(4, 6),
    "GRU": lambda: SpikingGRU(4, 6, tau_syn=4 * MS, dt=MS),
    "liquid": lambda: LiquidLIF(4, tau=4 * MS, dt=MS),
    "LMU": lambda: LMU(4, 6, order=3, theta=5 * MS, dt=MS),
    "L2MU": lambda: L2MU(4, 6, order=3, theta=5 * MS, dt=MS),
}


@pytest.mark.parametrize("name", CELLS)
def test_wrong_steps_states_and_precisions_are_said(name):
    cell, x = CELLS[name](), torch.zeros(5, 3, 4)
    two = cell.scan(x[:, :2])[1]
    with pytest.raises(UserError, match="one time step B 4"):
        cell.step(x)
    with pytest.raises(UserError, match="batch of 3; a state belongs"):
        cell.scan(x, two)
    with pytest.raises(UserError, match="belongs to one batch"):
        cell.step(x[0], two)
    for wrong in (torch.zeros(3, 6), (two[0],) * 7):
        with pytest.raises(UserError, match="has the state"):
            cell.step(x[0], wrong)
    for dtype in (torch.float64, torch.int32):
        with pytest.raises(UserError, match=r"write x.to\(torch.float32\)"):
            cell(x.to(dtype))
        with pytest.raises(UserError, match=r"write x.to\(torch.float32\)"):
            cell.step(x[0].to(dtype))
    with pytest.raises(TypeError, match=r"write x\.dense"):
        cell(EventTensor.from_dense(x, MS))
    y, state = cell.scan(x[:, :2], tuple(two))  # a plain tuple will do
    assert type(state) is cell.State and torch.equal(y, cell.scan(x[:, :2], two)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cell(x.bfloat16()).shape[:2] == (5, 3)


def test_sizes_may_be_numpys_integers_and_pairs_are_pairs():
    assert SpikingLSTM(np.int64(4), np.int32(6))(torch.zeros(2, 1, 4)).shape == (2, 1, 6)
    with pytest.raises(UserError, match="u is a pair"):
        L2MU(4, 6, order=3, theta=5 * MS, dt=MS, u=0.8)
