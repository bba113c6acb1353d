"""The integer model of Loihi against a twin that walks neuron by neuron in Python's own integers."""

import numpy as np
import pytest
import torch
from hardware_cases import conv, dense, graph, lif
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import UserError
from snnkit.hardware import UnsupportedGraph
from snnkit.hardware.fixed_point import LIMIT, LoihiLayer, decay, run, wrap
from snnkit.hardware.quantise import loihi_layers
from snnkit.hardware.segments import Synapse


def naive_decay(x, by):
    whole = abs(x) * (4096 - by) // 4096
    return whole if x >= 0 else -whole


def naive_layer(layer, spikes):
    """spikes: T N_in nested lists of ints; the equations of the module docstring, one neuron at a time."""
    sums = connections(layer)
    n_out = len(sums)
    u, v = [0] * n_out, list(np.broadcast_to(layer.v0.numpy(), layer.synapse.out_shape).reshape(-1).tolist())
    arriving, out, membranes = [0] * n_out, [], []
    for row in spikes:
        fired = []
        for n in range(n_out):
            u[n] = naive_decay(u[n], layer.du + 1) + (arriving[n] << 6)
            if u[n] > 2**23:
                u[n] -= 2**24
            if u[n] <= -(2**23):
                u[n] += 2**24
            v[n] = naive_decay(v[n], layer.dv) + u[n] + (bias_of(layer, n) << 6)
            v[n] = max(-(2**23) + 1, min(2**23 - 1, v[n]))
            fired.append(1 if v[n] > (layer.vth << 6) else 0)
            v[n] = 0 if fired[n] else v[n]
        arriving = [sum(w * row[i] for i, w in sums[n]) for n in range(n_out)]  # delivered in the next step
        out.append(fired)
        membranes.append(list(v))
    return out, membranes


def bias_of(layer, n):
    per_channel = n // int(np.prod(layer.synapse.out_shape[1:])) if layer.synapse.is_conv else n
    return int(layer.bias[per_channel])


def connections(layer):
    """For every output neuron its (input, weight) pairs, convolutions written out loop by loop."""
    s = layer.synapse
    w = s.weight.numpy().astype(int)
    if not s.is_conv:
        return [[(i, int(w[o, i])) for i in range(w.shape[1])] for o in range(w.shape[0])]
    found, (channels, height, width) = [], s.in_shape
    per_group_in, per_group_out = w.shape[1], w.shape[0] // s.groups
    for o in range(s.out_shape[0]):
        for y in range(s.out_shape[1]):
            for x in range(s.out_shape[2]):
                pairs = []
                for c in range(per_group_in):
                    for ky in range(w.shape[2]):
                        for kx in range(w.shape[3]):
                            iy = y * s.stride[0] - s.padding[0] + ky
                            ix = x * s.stride[1] - s.padding[1] + kx
                            if 0 <= iy < height and 0 <= ix < width:
                                channel = o // per_group_out * per_group_in + c
                                pairs.append(((channel * height + iy) * width + ix, int(w[o, c, ky, kx])))
                found.append(pairs)
    assert channels == per_group_in * s.groups
    return found


def random_layer(rng, in_shape, out_shape, weight_shape, big=False, **geometry):
    weight = torch.as_tensor(2.0 * rng.integers(-128, 128, weight_shape))
    n = weight_shape[0]
    return LoihiLayer(
        name="layer",
        synapse=Synapse("w", weight, torch.zeros(n), in_shape, out_shape, **geometry),
        bias=torch.as_tensor(rng.integers(-4095 if big else -60, 4096 if big else 60, n)),
        du=int(rng.integers(-1, 4096)),
        dv=int(rng.integers(0, 4097)),
        vth=int(rng.integers(0, 131_072 if big else 900)),
        v0=torch.as_tensor(rng.integers(-9000, 9000, out_shape)),
        scale=1.0,
        reads_membrane=True,
    )


def assert_equals_twin(layers, x):
    runs = run(layers, x)
    for b in range(x.shape[1]):
        spikes = [*x[:, b].flatten(1).long().tolist(), *[[0] * x[0, 0].numel()] * len(layers)]
        for layer, got in zip(layers, runs, strict=True):
            spikes, membranes = naive_layer(layer, spikes)
            assert got.spikes[:, b].flatten(1).tolist() == spikes
            assert got.v[:, b].flatten(1).tolist() == membranes
    return runs


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_dense_layers_equal_the_naive_twin(seed, big):
    rng = np.random.default_rng(seed)
    layers = [random_layer(rng, (6,), (5,), (5, 6), big), random_layer(rng, (5,), (4,), (4, 5), big)]
    x = torch.as_tensor((rng.random((15, 2, 6)) < 0.4).astype(np.float32))
    assert_equals_twin(layers, x)


@given(st.integers(0, 10_000), st.sampled_from([1, 2]), st.integers(1, 2), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_convolutions_equal_the_naive_twin(seed, groups, stride, pad):
    rng = np.random.default_rng(seed)
    out = tuple((n + 2 * pad - 3) // stride + 1 for n in (5, 4))
    geometry = {"stride": (stride, stride), "padding": (pad, pad), "groups": groups}
    first = random_layer(rng, (2, 5, 4), (4, *out), (4, 2 // groups, 3, 3), **geometry)
    n = 4 * out[0] * out[1]
    second = random_layer(rng, (4, *out), (3,), (3, n))
    x = torch.as_tensor((rng.random((8, 1, 2, 5, 4)) < 0.3).astype(np.float32))
    assert_equals_twin([first, second], x)


def test_overflow_wraps_the_current_and_saturates_the_membrane():
    weight = torch.full((1, 700), 254.0)
    layer = LoihiLayer(
        name="full", synapse=Synapse("w", weight, torch.zeros(1), (700,), (1,)), bias=torch.zeros(1, dtype=torch.int64),
        du=-1, dv=0, vth=131_071, v0=torch.zeros(1, dtype=torch.int64), scale=1.0, reads_membrane=True,
    )  # fmt: skip
    x = torch.ones(12, 1, 700)
    (got,) = assert_equals_twin([layer], x)
    assert got.wrapped > 0 and got.saturated > 0


def test_decay_truncates_toward_zero_and_wrap_keeps_its_odd_ends():
    x = torch.tensor([-7, -1, 0, 1, 7, 4097])
    assert decay(x, 1).tolist() == [-6, 0, 0, 0, 6, 4095]
    assert decay(x, 0).tolist() == x.tolist() and decay(x, 4096).tolist() == [0] * 6
    ends = torch.tensor([LIMIT, LIMIT + 1, -LIMIT, -LIMIT + 1])
    assert wrap(ends).tolist() == [LIMIT, -LIMIT + 1, LIMIT, -LIMIT + 1]


def test_spikes_pass_one_layer_per_step():
    one = dense([1, 1, 1], kind="IF")
    for name in ("0", "2"):
        one.nodes[name].weight = np.full((1, 1), 1.5, dtype=np.float32)
    layers, _ = loihi_layers(one, {})
    x = torch.zeros(4, 1, 1)
    x[1] = 1
    first, second = run(layers, x)
    assert first.spikes.flatten().tolist() == [0, 0, 1, 0, 0, 0]
    assert second.spikes.flatten().tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"weight": torch.tensor([[3.0]])}, "weights are even"),
        ({"weight": torch.tensor([[0.5]])}, "weights are integers"),
        ({"weight": torch.tensor([[256.0]])}, "weights lie in"),
        ({"du": 4096}, "du lies in"),
        ({"dv": -1}, "dv lies in"),
        ({"vth": 131_072}, "vth lies in"),
        ({"bias": torch.tensor([4096])}, "bias lies in"),
    ],
)
def test_numbers_that_the_chip_cannot_hold_are_refused(change, rule):
    good = {"weight": torch.tensor([[2.0]]), "du": 0, "dv": 0, "vth": 1, "bias": torch.tensor([0])} | change
    synapse = Synapse("w", good.pop("weight"), torch.zeros(1), (1,), (1,))
    with pytest.raises(UserError, match=rule):
        LoihiLayer(name="l", synapse=synapse, v0=torch.tensor([0]), scale=1.0, **good)


def test_input_must_be_events():
    layers, _ = loihi_layers(dense([3, 2]), {})
    with pytest.raises(UserError, match="encode analog input"):
        run(layers, torch.full((2, 1, 3), 0.5))
    with pytest.raises(UserError, match="cannot be negative"):
        run(layers, torch.full((2, 1, 3), -1.0))
    counts = torch.full((3, 1, 3), 3.0)
    assert torch.equal(run(layers, counts)[0].spikes, run(layers, counts.clamp(max=1))[0].spikes)


# Quantisation -----------------------------------------------------------------------------------------------


def test_weights_use_all_eight_bits_and_keep_their_sign_and_order():
    (layer,), notes = loihi_layers(dense([50, 40], scale=0.2), {})
    weight = layer.synapse.weight
    assert 250 <= weight.abs().max() <= 256 and (weight % 2 == 0).all()
    original = torch.as_tensor(dense([50, 40], scale=0.2).nodes["0"].weight).double()
    assert (weight - original * layer.scale).abs().max() <= 1.0 + 1e-6
    assert layer.vth == layer.scale and notes == []


def test_decays_come_from_the_metadata():
    (layer,), _ = loihi_layers(dense([3, 2], a=0.9), {})
    assert (layer.du, layer.dv) == (4095, 410)
    (layer,), _ = loihi_layers(dense([3, 2], kind="CubaLIF", a=0.9, decay_syn=0.8), {})
    assert (layer.du, layer.dv) == (round(4096 * 0.2) - 1, 410)
    (layer,), _ = loihi_layers(dense([3, 2], kind="IF"), {})
    assert (layer.du, layer.dv) == (4095, 0)


@pytest.mark.parametrize("compare", [">=", ">"])
def test_integer_weights_survive_quantisation_exactly(compare):
    """Weights that are whole multiples of 1/127 of the threshold: float and integer spikes agree."""
    from snnkit.hardware import simulate

    rng = np.random.default_rng(3)
    net = dense([20, 15, 6], kind="IF", compare=compare, initial_v=64 / 127)
    for name in ("0", "2"):
        weight = rng.integers(-60, 128, net.nodes[name].weight.shape)
        weight[0, 0] = 127
        net.nodes[name].weight = weight.astype(np.float32)
        net.nodes[name].bias = rng.integers(-3, 4, len(weight)).astype(np.float32)
        net.nodes[str(int(name) + 1)].v_threshold[:] = 127
        net.nodes[str(int(name) + 1)].metadata["initial_v"] = 64.0
    layers, _ = loihi_layers(net, {})
    assert [layer.scale for layer in layers] == [254 / 127] * 2
    x = torch.as_tensor((rng.random((30, 8, 20)) < 0.3).astype(np.float32))
    wanted, got = simulate(net, x).layers, run(layers, x)
    for depth, name in enumerate(("1", "3")):
        assert torch.equal(got[depth].spikes[depth + 1 : depth + 31].float(), wanted[name])
    assert wanted["3"].sum() > 20


def test_per_channel_thresholds_are_folded_into_the_weights():
    net = graph((2, 4, 4), (3, 4, 4), conv(np.ones((3, 2, 3, 3)), (4, 4), 1, 1), lif((3, 4, 4)))
    net.nodes["1"].v_threshold *= np.array([1.0, 2.0, 4.0], dtype=np.float32).reshape(3, 1, 1)
    (layer,), _ = loihi_layers(net, {})
    per_channel = layer.synapse.weight[:, 0, 0, 0]
    assert per_channel.tolist() == [254.0, 127.0 // 2 * 2 + 2 * (127 % 2), 64.0]
    net.nodes["1"].v_threshold[0, 0, 0] = 3.0
    with pytest.raises(UnsupportedGraph, match="thresholds differ inside a channel"):
        loihi_layers(net, {})


def test_what_the_chip_cannot_do_is_said():
    net = dense([5, 4])
    net.nodes["1"].metadata["decay"] = np.linspace(0.5, 0.9, 4)
    with pytest.raises(UnsupportedGraph, match=r"membrane decay runs from 0\.5000 to 0\.9000"):
        loihi_layers(net, {})
    net = dense([5, 4])
    net.nodes["0"].weight[:] = 0
    with pytest.raises(UnsupportedGraph, match="all weights are zero"):
        loihi_layers(net, {})
    net = dense([5, 4])
    net.nodes["0"].weight[0, 0] = 500
    with pytest.raises(UnsupportedGraph, match="8 bits cannot hold"):
        loihi_layers(net, {})
    _, notes = loihi_layers(dense([5, 4], reset="subtract"), {})
    assert any("resets by 'subtract'" in note for note in notes)
