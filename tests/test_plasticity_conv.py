"""Shared kernels that learn locally: the loops against their naive twins, and what they learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.plasticity.conv import ConvSTDP, conv_pair_stdp

MS = 1e-3


def spikes(seed: int, density: float, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < density).float()


def naive_fire(x, w, threshold, stride, padding):
    """Steps and maps of the spikes of one sample, T C H W, and the potentials then; never is T."""
    T = len(x)
    v = F.conv2d(x.double(), w.double(), stride=stride, padding=padding).cumsum(0)  # T M h w
    over = (v >= threshold).any(1)  # T h w
    when = torch.where(over.any(0), over.double().argmax(0), T)
    at = v.gather(0, when.clamp(max=T - 1)[None, None].expand(1, v.shape[1], -1, -1))[0]
    return when, at.argmax(0), at.amax(0)


def naive_learn(layer, x):
    """One sample after the other, T B C H W; the weights after the last."""
    w, (a_plus, a_minus) = layer.weight.double(), layer.rates
    kernel, stride, padding = w.shape[-1], layer.stride, layer.padding
    T = len(x)
    for b in range(x.shape[1]):
        when, who, level = naive_fire(x[:, b], w, layer.threshold, stride, padding)
        fired = x[:, b].bool()
        first = torch.where(fired.any(0), fired.double().argmax(0), T)
        first = F.pad(first, (padding,) * 4, value=T)
        places = [(int(when[p]), -float(level[p]), p) for p in map(tuple, (when < T).nonzero().tolist())]
        chosen: list[tuple[int, int, int]] = []
        for t, _, (oy, ox) in sorted(places):
            m = int(who[oy, ox])
            near = lambda p, y=oy, x=ox: max(abs(p[1] - y), abs(p[2] - x)) <= layer.radius
            if len(chosen) == layer.winners or any(p[0] == m or near(p) for p in chosen):
                continue
            chosen.append((m, oy, ox))
            window = first[:, oy * stride : oy * stride + kernel, ox * stride : ox * stride + kernel]
            rate = torch.where(window <= t, a_plus, -a_minus)
            w = w.clone()
            w[m] += rate * w[m] * (1 - w[m])
    return w


geometry = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2))  # kernel, stride, padding


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), geometry, st.integers(1, 4), st.integers(0, 2))
def test_firing_and_learning_are_those_of_the_naive_twins(seed, shape, winners, radius):
    kernel, stride, padding = shape
    layer = ConvSTDP(
        2, 4, kernel, threshold=1.4 * kernel, stride=stride, padding=padding, winners=winners, radius=radius,
        a_plus=0.2, a_minus=0.1, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    x = spikes(seed, 0.05, 8, 3, 2, 6, 7)
    out = layer(EventTensor.from_dense(x, MS))
    expected = torch.zeros(out.shape)
    for b in range(3):
        when, who, _ = naive_fire(x[:, b], layer.weight, layer.threshold, stride, padding)
        for y, z in (when < 8).nonzero().tolist():
            expected[when[y, z], b, who[y, z], y, z] = 1
    assert torch.equal(out.dense(), expected) and out.dt == MS
    before = layer.weight.clone()
    learned = layer.learn(x)
    torch.testing.assert_close(learned.weight.double(), naive_learn(layer, x), atol=1e-6, rtol=0)
    assert torch.equal(layer.weight, before)
    assert bool(expected.any()) == (not torch.equal(learned.weight, before))


def test_a_neuron_fires_once_and_silences_its_place():
    layer = ConvSTDP(1, 3, 2, threshold=2.0, generator=torch.Generator().manual_seed(0))
    out = layer(torch.ones(20, 2, 1, 5, 5)).dense()
    assert torch.equal(out.sum((0, 2)), torch.ones(2, 4, 4))


def test_kernels_find_the_patterns_in_the_input():
    """Bars in two orientations at random places, and noise that comes later."""
    generator = torch.Generator().manual_seed(1)
    layer = ConvSTDP(
        1, 4, 5, threshold=3.0, winners=2, radius=5, a_plus=0.05, a_minus=0.03, generator=generator
    )
    x = (torch.rand(10, 400, 1, 9, 9, generator=generator) < 0.02).float()
    x[0] = 0
    for b in range(400):
        at = int(torch.randint(2, 7, (), generator=generator))
        x[(0, b, 0, at) if b % 2 else (0, b, 0, slice(None), at)] = 1
    learned = layer.learn(x)
    binary = (learned.weight[:, 0] > 0.5).float()
    clear = [k for k in range(4) if binary[k].sum() == 5]
    rows = {k for k in clear if binary[k].sum(1).max() == 5}
    columns = {k for k in clear if binary[k].sum(0).max() == 5}
    assert rows and columns
    answers = learned(x).dense().sum((0, 3, 4))  # samples, maps
    for kind, maps in ((1, rows), (0, columns)):
        mine, other = sorted(maps), sorted(columns if kind else rows)
        assert answers[kind::2][:, mine].sum() > 10 * answers[kind::2][:, other].sum()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), geometry)
def test_pairs_are_those_of_the_naive_twin(seed, shape):
    kernel, stride, padding = shape
    pre = spikes(seed, 0.15, 6, 2, 2, 5, 6)
    size = F.conv2d(pre[0], torch.zeros(3, 2, kernel, kernel), stride=stride, padding=padding).shape
    post = spikes(seed + 1, 0.15, 6, *size)
    options = {"a_plus": 0.03, "a_minus": 0.02, "tau_plus": 10 * MS, "tau_minus": 30 * MS}
    found = conv_pair_stdp(
        EventTensor.from_dense(pre, MS), post, kernel, stride=stride, padding=padding, **options
    )
    expected = torch.zeros(3, 2, kernel, kernel, dtype=torch.float64)
    padded = F.pad(pre, (padding,) * 4).double()
    for t in range(6):
        for u in range(6):
            if t == u:
                continue
            tau = options["tau_plus" if t < u else "tau_minus"]
            size_ = (options["a_plus"] if t < u else -options["a_minus"]) * 2.718281828459045 ** (
                -abs(t - u) * MS / tau
            )
            for i in range(kernel):
                for j in range(kernel):
                    window = padded[t, :, :, i:, j:][:, :, ::stride, ::stride]
                    window = window[:, :, : size[2], : size[3]]
                    expected[:, :, i, j] += size_ * torch.einsum("bmyx,bcyx->mc", post[u].double(), window)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


def test_pairs_are_those_of_spikingjelly_where_both_agree():
    """Its pairs in one step count with both signs: with equal rates they cancel; its traces lose a share 1/tau per step."""
    sj = pytest.importorskip("spikingjelly.activation_based.learning")
    from spikingjelly.activation_based import layer, neuron

    torch.manual_seed(0)
    conv = layer.Conv2d(2, 3, 3, padding=1, bias=False)
    torch.nn.init.uniform_(conv.weight, 0.0, 0.4)
    cells = neuron.LIFNode(tau=2.0, decay_input=False)
    learner = sj.STDPLearner(step_mode="s", synapse=conv, sn=cells, tau_pre=20.0, tau_post=10.0)
    learner.f_pre = learner.f_post = lambda w: 0.01
    pre, post, total = spikes(0, 0.15, 30, 2, 2, 6, 5), [], torch.zeros_like(conv.weight)
    with torch.no_grad():
        for x in pre:
            post.append(cells(conv(x)))
            total += learner.step(on_grad=False)
    keep = lambda tau: -MS / float(torch.tensor(1 - 1 / tau, dtype=torch.float64).log())
    found = conv_pair_stdp(
        EventTensor.from_dense(pre, MS), torch.stack(post), 3, padding=1,
        a_plus=0.01, a_minus=0.01, tau_plus=keep(20.0), tau_minus=keep(10.0),
    )  # fmt: skip
    assert 0.05 < torch.stack(post).mean() < 0.6
    torch.testing.assert_close(found, total, atol=1e-4, rtol=1e-4)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="n_maps=0, threshold=-1"):
        ConvSTDP(1, 0, 3, threshold=-1)
    with pytest.raises(UserError, match="finite"):
        ConvSTDP(1, 2, 3, threshold=1, a_plus=float("nan"))
    layer = ConvSTDP(1, 2, 3, threshold=1.0)
    with pytest.raises(UserError, match="T B 1 H W of at least 3 x 3"):
        layer(torch.zeros(4, 1, 2, 5, 5))
    with pytest.raises(UserError, match="0 or 1"):
        layer(torch.full((4, 1, 1, 5, 5), 0.5))
    ev = EventTensor.from_dense(torch.zeros(4, 1, 1, 5, 5), MS)
    with pytest.raises(UserError, match="'M', 3, 3"):
        conv_pair_stdp(ev, torch.zeros(4, 1, 2, 4, 4), 3)
    with pytest.raises(UserError, match="agree in dt"):
        conv_pair_stdp(torch.zeros(4, 1, 1, 5, 5), torch.zeros(4, 1, 2, 3, 3), 3)
    assert layer.with_rates(0.1, 0.2).rates.tolist() == [0.1, 0.2] and layer.rates.tolist() == [0.004, 0.003]
