"""Layers: equal to torch step by step, the same in chunks as in one go, and clear about wrong shapes."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    Sequential,
    Stream,
    SumPool2d,
    linear,
)
from snnkit.neurons import IF, LIF, LeakyIntegrator

DT = 1e-3


def spikes(*shape, density=0.2, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).float()


STATELESS = {
    "Linear": (lambda: Linear(6, 4, bias=True), (6,)),
    "Conv2d": (lambda: Conv2d(2, 3, 3, stride=2, padding=1, bias=True), (2, 5, 6)),
    "Conv2d grouped": (lambda: Conv2d(2, 4, (3, 1), dilation=2, groups=2), (2, 5, 6)),
    "AvgPool2d": (lambda: AvgPool2d(2), (2, 5, 6)),
    "SumPool2d": (lambda: SumPool2d((2, 3), stride=1, padding=1), (2, 5, 6)),
    "Flatten": (lambda: Flatten(), (2, 5, 6)),
    "BatchNorm": (lambda: BatchNorm(2).eval(), (2, 5, 6)),
    "Dropout": (lambda: Dropout(0.5).eval(), (2, 5, 6)),
}


@pytest.mark.parametrize("kind", STATELESS)
def test_three_verbs_agree(kind):
    make, size = STATELESS[kind]
    layer, x = make(), spikes(7, 3, *size)
    whole = layer(x)
    assert whole.shape[:2] == (7, 3)
    y, state = layer.scan(x)
    assert torch.equal(y, whole) and state == ()
    steps = torch.stack([layer.step(x_t, ())[0] for x_t in x])
    torch.testing.assert_close(steps, whole)
    by_sample = torch.cat([layer(x[:, b : b + 1]) for b in range(3)], 1)
    torch.testing.assert_close(by_sample, whole)


@pytest.mark.parametrize("kind", [k for k in STATELESS if k not in ("Dropout",)])
def test_events_and_dense_agree(kind):
    make, size = STATELESS[kind]
    layer, x = make(), spikes(7, 3, *size, density=0.03)
    y = layer(EventTensor.from_dense(x, DT))
    torch.testing.assert_close(y.dense() if isinstance(y, EventTensor) else y, layer(x))


@pytest.mark.parametrize("density", [0.01, 0.5])
def test_linear_on_events_on_either_side_of_the_crossover(density, monkeypatch):
    used = []
    monkeypatch.setattr(linear, "event_linear", lambda *a, f=linear.event_linear: (used.append(1), f(*a))[1])
    layer, x = Linear(50, 8, bias=True), spikes(20, 4, 50, density=density)
    twin = copy.deepcopy(layer)
    layer(EventTensor.from_dense(x, DT)).square().sum().backward()
    twin(x).square().sum().backward()
    assert bool(used) == (density < linear.CROSSOVER)
    torch.testing.assert_close(layer.weight.grad, twin.weight.grad)
    torch.testing.assert_close(layer.bias.grad, twin.bias.grad)


def test_layers_equal_torch_on_every_step():
    x = torch.rand(4, 3, 2, 6, 6)
    conv = Conv2d(2, 4, 3, padding=1, bias=True)
    expected = torch.stack([nn.functional.conv2d(x_t, conv.weight, conv.bias, padding=1) for x_t in x])
    torch.testing.assert_close(conv(x), expected)
    torch.testing.assert_close(SumPool2d(2)(x), AvgPool2d(2)(x) * 4)
    assert torch.equal(Flatten()(x), x.reshape(4, 3, -1))


def test_flatten_keeps_events_as_events():
    ev = EventTensor.from_dense(spikes(4, 2, 2, 3, 3), DT)
    flat = Flatten()(ev)
    assert isinstance(flat, EventTensor) and flat.shape == (4, 2, 18)
    assert torch.equal(flat.dense(), ev.dense().flatten(2))


def test_batch_norm_sees_time_and_batch_as_one():
    norm, x = BatchNorm(3), torch.randn(5, 4, 3, 2, 2) * 3 + 1
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1, 3, 4)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 1, 3, 4), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean((0, 1, 3, 4)))
    flat = BatchNorm(3)
    assert flat(x[..., 0, 0]).shape == (5, 4, 3)


def test_dropout_keeps_one_mask_per_sample():
    layer, x = Dropout(0.4, generator=torch.Generator().manual_seed(0)), torch.ones(9, 5, 40)
    y, state = layer.scan(x)
    assert torch.equal(y, y[:1].expand_as(y))  # the same cells at all times
    assert not torch.equal(y[0, 0], y[0, 1])  # others in other samples
    assert y.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    assert 0.2 < (y == 0).float().mean() < 0.6
    more, _ = layer.scan(x, state)
    step, _ = layer.step(x[0], state)
    assert torch.equal(more, y) and torch.equal(step, y[0])  # chunks keep the mask
    layer.generator.manual_seed(0)
    assert torch.equal(layer(x), y)


def test_weights_start_with_variance_one_over_fan_in():
    g = torch.Generator().manual_seed(0)
    for layer, fan_in in (
        (Linear(300, 400, bias=True, generator=g), 300),
        (Conv2d(8, 64, 5, generator=g), 200),
    ):
        assert layer.weight.var().item() == pytest.approx(1 / fan_in, rel=0.05)
        assert layer.bias is None or not layer.bias.any()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b = (Linear(5, 4, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a.weight, b.weight) and torch.equal(torch.get_rng_state(), before)


def network():
    torch.manual_seed(0)
    return Sequential(
        Conv2d(2, 4, 3, padding=1),
        BatchNorm(4),
        LIF(tau=10e-3, dt=DT, threshold=0.5),
        Sequential(OrderedDict(pool=SumPool2d(2), flat=Flatten())),
        nn.Identity(),
        Dropout(0.5),
        Linear(36, 5),
        LeakyIntegrator(tau=20e-3, dt=DT),
    )


def test_cutting_time_anywhere_changes_nothing():
    net, x = network().eval(), spikes(12, 3, 2, 6, 6)
    ev = EventTensor.from_dense(x, DT)
    whole, end = net.scan(ev)
    assert whole.abs().sum() > 0
    torch.testing.assert_close(net(x), whole)
    for cut in (1, 5, 11):
        head, middle = net.scan(ev[:cut])
        tail, same_end = net.scan(ev[cut:], middle)
        torch.testing.assert_close(torch.cat([head, tail]), whole)
        torch.testing.assert_close(same_end, end)


def test_a_stream_is_the_same_network_step_by_step():
    net, x = network().eval(), spikes(12, 3, 2, 6, 6)
    whole, live = net(x).detach(), Stream(net)
    for _ in range(2):
        first = torch.stack([live(x_t) for x_t in x[:4]])
        rest = live.push(EventTensor.from_dense(x, DT)[4:])
        torch.testing.assert_close(torch.cat([first, rest]), whole)
        assert not first.requires_grad
        live.reset()
    net.train()
    with pytest.raises(UserError, match=r"layer 1 \(BatchNorm\) is in training mode; call net.eval\(\)"):
        live(x[0])
    with pytest.raises(TypeError, match="scan and step"):
        Stream(nn.Linear(2, 2))


def test_sequential_takes_modules_a_list_or_names_and_slices():
    layers = [Linear(4, 3), IF(), Linear(3, 2)]
    x = spikes(5, 2, 4)
    nets = [Sequential(*layers), Sequential(layers), Sequential(OrderedDict(zip("abc", layers, strict=True)))]
    assert all(torch.equal(net(x), nets[0](x)) for net in nets)
    assert [n for n, _ in nets[2].named_children()] == ["a", "b", "c"]
    assert isinstance(nets[0][:2], Sequential) and torch.equal(nets[0][:2](x), layers[1](layers[0](x)))
    plain = nn.Sequential(*layers)  # torch's own works too
    assert torch.equal(plain(x), nets[0](x))


def test_gradients_reach_every_weight():
    net = network()
    net(EventTensor.from_dense(spikes(12, 3, 2, 6, 6), DT)).sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in net.named_parameters() if "weight" in n
    )


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: Linear(64, 10)(torch.zeros(32, 64, 100)),
            UserError,
            r"Linear\(64, 10\) expected x of shape T B 64, got \(32, 64, 100\); if time comes last, pass x.movedim\(-1, 0\)",
        ),
        (lambda: Linear(64, 10)(torch.zeros(32, 4, 65)), UserError, r"T B 64, got \(32, 4, 65\)$"),
        (lambda: Linear(32, 3)(torch.zeros(5, 2, 2, 4, 4)), UserError, r"put a Flatten\(\) before it"),
        (lambda: Linear(32, 3)(torch.zeros(5, 32)), UserError, r"call .step\(x\)"),
        (
            lambda: Linear(8, 3)(EventTensor.from_dense(torch.zeros(5, 2, 9), DT)),
            UserError,
            r"got \(5, 2, 9\)",
        ),
        (lambda: Conv2d(2, 3, 3)(torch.zeros(5, 2, 3, 8, 8)), UserError, r"T B 2 H W, got \(5, 2, 3, 8, 8\)"),
        (lambda: Conv2d(2, 3, 3)(torch.zeros(5, 2, 8, 8, 10)), UserError, r"movedim\(-1, 0\)"),
        (lambda: AvgPool2d(2)(torch.zeros(5, 2, 8)), UserError, r"T B C H W, got \(5, 2, 8\)"),
        (lambda: BatchNorm(3)(torch.zeros(5, 2, 4)), UserError, r"T B 3 \.\.\., got"),
        (lambda: Linear(3, 2)([1, 2, 3]), TypeError, "takes a tensor or an EventTensor, got list"),
        (lambda: Linear(0, 2), UserError, "n_in is at least 1, got 0"),
        (lambda: Linear(3.5, 2), TypeError, "n_in is a whole number, got 3.5"),
        (lambda: Dropout(1.0), UserError, "0 <= p < 1; got 1.0"),
        (lambda: SumPool2d(0), UserError, "at least 1"),
        (
            lambda: Sequential(nn.Conv2d(2, 3, 3)),
            TypeError,
            "torch's Conv2d, which knows no time axis; use snnkit.Conv2d",
        ),
        (lambda: Sequential(OrderedDict(flat=nn.Flatten())), TypeError, "layer flat is torch's Flatten"),
        (lambda: Sequential(Linear(3, 2), Flatten), TypeError, r"layer 1 is .*write it with brackets"),
        (
            lambda: Sequential(Linear(3, 2)).scan(torch.zeros(2, 1, 3), ((), ())),
            UserError,
            "state of 1 layers .* got 2",
        ),
        (
            lambda: Sequential(Linear(3, 2), LIF(tau=0.02, dt=1e-3))(
                EventTensor.from_dense(torch.zeros(2, 1, 3), 5e-3)
            ),
            UserError,
            r"events have steps of dt=0.005 s, but layer 1 \(LIF\) was made for dt=0.001 s",
        ),
    ],
)
def test_mistakes_are_told_in_the_users_words(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
