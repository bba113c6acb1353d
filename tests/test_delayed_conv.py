"""Convolutions with delays: against plain convolutions tap by tap, gradients, time cut anywhere, events, what they share with layers."""

import itertools

import pytest
import torch
from torch.nn import functional as F

import snnkit
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.delays.layer import gaussian, taps_of
from snnkit.layers import (
    Conv2d,
    DelayedConv1d,
    DelayedConv2d,
    DelayedLinear,
    DelayWidth,
    Flatten,
    Recurrent,
    Sequential,
    Stream,
    clamp_delays,
    delay_excess,
    delay_parameters,
    delay_unroundness,
    rounded_delays,
)  # fmt: skip
from snnkit.neurons import LIF

MS = 1e-3
KINDS = ("channel", "synaptic", "axonal", "dendritic")
FORMS = ("two-tap", "gaussian", "integer")


def layer_of(axes=2, kind="channel", form="two-tap", longest=4, seed=0, dtype=torch.float64, **options):
    make = DelayedConv2d if axes == 2 else DelayedConv1d
    options = {"stride": 2, "padding": 1, "bias": True, **options}
    layer = make(
        2, 3, 3, max_delay=longest * MS, dt=MS, form=form, kind=kind, sigma=0.9, generator=torch.Generator().manual_seed(seed), **options
    ).to(dtype)  # fmt: skip
    if layer.bias is not None:
        layer.bias.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    return layer


def drive(axes=2, T=7, density=0.3, dtype=torch.float64, seed=1):
    g = torch.Generator().manual_seed(seed)
    shape = (T, 2, 2, *(6, 5)[:axes])
    return (torch.rand(shape, generator=g, dtype=torch.float64) < density).to(dtype)


def naive(layer, x):
    """Step by step: every lag is a plain convolution with the weights that have this lag, each times its share."""
    kernel, axes = layer._kernel, len(layer.kernel_size)
    weight, delay = layer.weight.flatten(0, -2), layer.delay.expand(layer.weight.shape).flatten(0, -2)
    taps = (gaussian if layer.form == "gaussian" else taps_of)(weight, delay, kernel)
    convolve = F.conv2d if axes == 2 else F.conv1d
    T = len(x) + layer.tail
    out = None
    for n, tap in enumerate(taps):
        y = [
            convolve(frame, tap.view(layer.weight.shape).movedim(-1, 0), None, layer.stride, layer.padding)
            for frame in x
        ]
        out = y[0].new_zeros(T, *y[0].shape) if out is None else out
        for t, frame in enumerate(y):
            if t + n < T:
                out[t + n] += frame
    return out if layer.bias is None else out + layer.bias.view(-1, *(1,) * axes)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("kind", "form"), itertools.product(KINDS, FORMS))
def test_it_is_a_plain_convolution_for_every_lag(axes, kind, form):
    layer, x = layer_of(axes, kind, form), drive(axes)
    want = naive(layer, x)
    assert want.shape == layer(x).shape == (7, 2, 3, *(3, 3)[:axes])
    for made in (layer, layer.eval()):
        torch.testing.assert_close(made(x), want, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer(EventTensor.from_dense(x, MS)), want, rtol=1e-10, atol=1e-10)
    long = layer_of(axes, kind, form, tail=3 * MS).eval()
    assert len(long(x)) == 10
    torch.testing.assert_close(long(x), naive(long, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("kind", "form"), itertools.product(KINDS, ("two-tap", "gaussian")))
def test_gradients_by_finite_differences(axes, kind, form):
    layer = layer_of(axes, kind, form, longest=3)
    layer.delay.data = layer.delay.data.clamp(0.1, 2.9)
    layer.delay.data += 0.2 * (
        (layer.delay.data - layer.delay.data.round()).abs() < 0.1
    )  # away from the corners
    x = torch.randn(
        4,
        1,
        2,
        *(4, 3)[:axes],
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
        requires_grad=True,
    )
    names = ("weight", "delay", "bias")
    given = [getattr(layer, n).detach().clone().requires_grad_() for n in names]

    def call(x, *params):
        return torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *given), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("kind", "form"), itertools.product(KINDS, FORMS))
def test_time_may_be_cut_anywhere(axes, kind, form):
    layer, x = layer_of(axes, kind, form).eval(), drive(axes, T=9)
    whole = layer(x)
    for cut in (1, 4, 8):
        head, state = layer.scan(x[:cut])
        tail, _ = layer.scan(x[cut:], state)
        torch.testing.assert_close(torch.cat([head, tail]), whole, rtol=1e-12, atol=1e-12)
    rows, state = [], layer.initial_state(x[0])
    for x_t in x:
        y, state = layer.step(x_t, state)
        rows.append(y)
    torch.testing.assert_close(torch.stack(rows), whole, rtol=1e-12, atol=1e-12)


def test_one_pixel_is_the_layer_of_all_to_all_synapses():
    conv = DelayedConv2d(3, 4, 1, max_delay=5 * MS, dt=MS)
    dense = DelayedLinear(3, 4, max_delay=5 * MS, dt=MS)
    dense.weight.data, dense.delay.data = conv.weight.data.view(3, 4), conv.delay.data.view(3, 4)
    x = (torch.rand(20, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    assert torch.equal(conv(x[..., None, None])[..., 0, 0], dense(x))
    still = DelayedConv2d(3, 4, 3, padding=1, max_delay=0.0, dt=MS)
    plain = Conv2d(3, 4, 3, padding=1)
    plain.weight.data = still.weight.data.movedim(-1, 0)
    x = torch.rand(4, 2, 3, 5, 5)
    torch.testing.assert_close(still(x), plain(x), rtol=1e-5, atol=1e-6)


def test_a_spike_comes_out_where_and_when_it_has_to():
    layer = DelayedConv2d(
        2, 1, 3, padding=1, max_delay=6 * MS, dt=MS, initial_delay=torch.tensor([2e-3, 5e-3]).view(2, 1, 1, 1)
    )
    assert layer.delay_seconds.flatten().tolist() == pytest.approx([2e-3, 5e-3])
    x = torch.zeros(9, 1, 2, 5, 5)
    x[1, 0, :, 2, 2] = 1.0
    y = layer(x)[:, 0, 0]
    assert [t for t in range(9) if y[t].any()] == [3, 6]
    torch.testing.assert_close(y[3, 1:4, 1:4], layer.weight.data[0, :, :, 0].flip(0, 1))


def test_training_aids_rounding_and_nets_know_it():
    g = torch.Generator().manual_seed(0)
    conv = DelayedConv2d(1, 4, 3, max_delay=6 * MS, dt=MS, form="gaussian", generator=g)
    net = Sequential(
        conv, LIF(tau=5 * MS, dt=MS), Flatten(), DelayedLinear(4 * 9, 2, max_delay=3 * MS, dt=MS, generator=g)
    )
    groups = delay_parameters(net, lr=1e-3)
    assert [p is conv.delay for p in groups[-1]["params"]] == [True, False] and groups[-1]["lr"] == 0.1
    DelayWidth(epochs=10).apply(net, 9)
    assert conv.sigma == pytest.approx(0.5)
    conv.delay.data.fill_(9.0)
    clamp_delays(net)
    assert float(conv.delay.detach().max()) == 6.0 and float(delay_excess(net, 3 * MS).detach()) > 0
    conv.delay.data.fill_(2.4)
    chip = rounded_delays(net)
    assert (
        chip[0].form == "integer"
        and set(chip[0].delay.flatten().tolist()) == {2.0}
        and conv.form == "gaussian"
    )
    x = (torch.rand(12, 2, 1, 5, 5, generator=g) < 0.3).float()
    live = Stream(chip)
    torch.testing.assert_close(torch.stack([live(x_t) for x_t in x]), chip(x))
    loop = Recurrent(LIF(tau=5 * MS, dt=MS), DelayedConv2d(1, 1, 3, padding=1, max_delay=2 * MS, dt=MS))
    assert loop(x).shape == x.shape
    assert "DelayedConv2d(1, 4, kernel_size=(3, 3), max_delay=0.006" in repr(net)
    with snnkit.trace(chip) as activity:
        chip(x)
    plain = Sequential(Conv2d(1, 4, 3))
    with snnkit.trace(plain) as want:
        plain(x)
    seen = activity.layers["0"]
    assert seen.synops * 1.0 == want.layers["0"].synops > 0 and (seen.fan_in, seen.neurons) == (9, 0)


def test_a_penalty_draws_delays_to_whole_steps():
    g = torch.Generator().manual_seed(0)
    net = Sequential(
        DelayedConv2d(2, 4, 3, max_delay=6 * MS, dt=MS, generator=g),
        DelayedLinear(4, 5, max_delay=6 * MS, dt=MS, generator=g),
    )
    for step, grid in ((None, 1.0), (2 * MS, 2.0)):
        before = [m.delay.detach().clone() for m in net]
        optimiser = torch.optim.SGD([m.delay for m in net], lr=2.0)
        first = delay_unroundness(net, step)
        for _ in range(200):
            optimiser.zero_grad()
            delay_unroundness(net, step).backward()
            optimiser.step()
        assert float(first.detach()) > 0.3 and float(delay_unroundness(net, step).detach()) < 1e-3
        for m, d in zip(net, before, strict=True):
            near = (m.delay.detach() / grid - (m.delay.detach() / grid).round()).abs()
            assert float(near.max()) < 0.05 and float((m.delay.detach() - d).abs().max()) <= grid / 2 + 1e-3
            m.delay.data = d + 0.3 * torch.rand(d.shape, generator=g)
    with pytest.raises(UserError, match="positive time"):
        delay_unroundness(net, -1.0)
    with pytest.raises(UserError, match="no DelayedLinear"):
        delay_unroundness(Sequential(Flatten()))


def test_synops_of_one_axis_of_space():
    layer = DelayedConv1d(2, 3, 3, max_delay=2 * MS, dt=MS)
    x = torch.zeros(4, 1, 2, 5)
    x[0, 0, 0, 0] = x[2, 0, 1, 2] = 1.0  # met by 1 and by 3 places
    net = Sequential(layer)
    for given in (x, EventTensor.from_dense(x, MS)):
        with snnkit.trace(net) as activity:
            net(given)
        assert activity.layers["0"].synops == (1 + 3) * 3


def test_mistakes_are_named():
    options = {"max_delay": 2 * MS, "dt": MS}
    cases = [
        (lambda: DelayedConv2d(1, 1, 0, **options), "kernel_size"),
        (lambda: DelayedConv2d(1, 1, (3, 3, 3), **options), "2 of them"),
        (lambda: DelayedConv1d(1, 1, 3, stride=0, **options), "stride"),
        (lambda: DelayedConv2d(1, 1, 3, kind="pixel", **options), "unknown kind 'pixel'"),
        (
            lambda: DelayedConv2d(1, 1, 3, max_delay=2.5 * MS, dt=MS),
            "DelayedConv2d: max_delay is a whole number",
        ),
        (
            lambda: DelayedConv2d(2, 1, 3, **options)(torch.zeros(4, 1, 3, 5, 5)),
            r"expected x of shape T B 2 H W",
        ),
        (lambda: DelayedConv2d(2, 1, 7, **options)(torch.zeros(4, 1, 2, 5, 5)), "kernel of 7 does not fit"),
        (
            lambda: DelayedConv2d(2, 1, 3, **options)(torch.zeros(4, 1, 2, 5, 5).double()),
            r"x.to\(torch.float32\)",
        ),
        (
            lambda: DelayedConv2d(2, 1, 3, **options)(
                EventTensor.from_dense(torch.zeros(4, 1, 2, 5, 5), 2 * MS)
            ),
            "counts steps",
        ),
        (
            lambda: DelayedConv2d(2, 1, 3, **options).scan(torch.zeros(4, 1, 2, 5, 5), (torch.zeros(1),)),
            "the state has shape",
        ),
    ]
    for call, message in cases:
        with pytest.raises(UserError, match=message):
            call()
    with pytest.raises(TypeError, match="takes a tensor"):
        DelayedConv2d(2, 1, 3, **options)([1])
    with pytest.raises(UserError, match="DelayedConv1d"):
        snnkit.to_nir(Sequential(DelayedConv1d(2, 1, 3, **options)), input_shape=(2, 5))


@pytest.mark.parametrize("kind", ["channel", "synaptic", "axonal", "dendritic"])
@pytest.mark.parametrize("shape", [(0, 2, 1, 5, 5), (3, 0, 1, 5, 5)])
def test_no_steps_and_no_samples(kind, shape):
    layer = DelayedConv2d(1, 2, 3, max_delay=2 * MS, dt=MS, kind=kind)
    for training in (True, False):
        y = layer.train(training)(torch.zeros(shape))
        assert y.shape == (*shape[:2], 2, 3, 3)
        y, state = layer.scan(torch.zeros(shape))
        assert y.shape == (*shape[:2], 2, 3, 3) and state.under_way.shape[1] == shape[1]
    layer(torch.zeros(shape)).sum().backward()
