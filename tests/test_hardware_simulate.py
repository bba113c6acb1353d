"""The float interpreter of NIR graphs against snnkit's own neurons, and the folding of linear maps."""

import nir
import numpy as np
import pytest
import torch
from hardware_cases import conv, dense, graph, lif
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import UserError
from snnkit.hardware import UnsupportedGraph, simulate
from snnkit.hardware.graph import read
from snnkit.hardware.segments import stages
from snnkit.interop import from_nir
from snnkit.neurons import IF, LIF, CubaLIF, LeakyIntegrator

SHAPE = (3, 4)


def one_by_one(node):
    """A node behind a depthwise 1 x 1 convolution of ones, the identity."""
    weight = np.ones((3, 1, 1, 1))
    return graph((3, 4, 1), (3, 4, 1), conv(weight, (4, 1), groups=3), node)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("compare", [">=", ">"])
@pytest.mark.parametrize("kind", ["IF", "LIF", "LIF scaled", "CubaLIF", "CubaLIF scaled", "LI"])
def test_spikes_equal_those_of_our_own_neurons(kind, reset, compare):
    kind, scaled = kind.split()[0], kind.endswith("scaled")
    times = {"dt": 1e-3, "scale_input": scaled}
    common = {"reset": reset, "compare": compare, "initial_v": 0.25}
    cell = {
        "IF": lambda: IF(threshold=1.5, **common),
        "LIF": lambda: LIF(tau=7e-3, threshold=1.5, **times, **common),
        "CubaLIF": lambda: CubaLIF(tau_syn=3e-3, tau_mem=7e-3, threshold=1.5, **times, **common),
        "LI": lambda: LeakyIntegrator(tau=7e-3, **times, initial_v=0.25),
    }[kind]()
    meta = {"scale_input": scaled, **common, "kind": kind}
    if kind != "IF":
        meta["a"] = cell.decay(cell.tau).item()
    if kind == "CubaLIF":
        meta["decay_syn"] = cell.decay(cell.tau_syn).item()
    net = one_by_one(lif((3, 4, 1), threshold=1.5, **meta))
    x = torch.randn(60, 2, 3, 4, 1, generator=torch.Generator().manual_seed(1)) + 0.5
    x = 4 * x if scaled else x
    expected = cell(x)
    got = simulate(net, x)
    assert expected.abs().sum() > 0
    assert torch.equal(got.output, expected) and torch.equal(got.layers["1"], expected)


def test_a_graph_without_metadata_is_read_as_nir_defines_it():
    tau, dt = 10e-3, 1e-3
    one = np.ones(4, dtype=np.float32)
    node = nir.LIF(tau=tau * one, r=tau / dt * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)
    net = graph((4,), (4,), nir.Linear(np.eye(4, dtype=np.float32)), node)
    with pytest.raises(UserError, match="pass dt="):
        simulate(net, torch.ones(3, 1, 4))
    with pytest.raises(UserError, match="dt=1e-3 is a millisecond"):
        simulate(net, torch.ones(3, 1, 4), dt=1.0)
    x = torch.full((30, 1, 4), 0.3)
    v, expected = 0.0, []
    for _ in range(30):
        v = v + dt / tau * (0 - v + tau / dt * 0.3)
        expected.append(float(v > 1))
        v = 0.0 if v > 1 else v
    assert simulate(net, x, dt=dt).output[:, 0, 0].tolist() == expected


def test_branches_are_summed():
    net = dense([4, 3])
    net.nodes["extra"] = nir.Linear(np.ones((3, 4), dtype=np.float32))
    net.edges += [("input", "extra"), ("extra", "1")]
    x = torch.rand(10, 2, 4)
    twin = dense([4, 3])
    twin.nodes["0"].weight = twin.nodes["0"].weight + 1
    assert torch.equal(simulate(net, x).output, simulate(twin, x).output)


def test_another_reset_can_be_tried():
    net = dense([6, 5], scale=0.8, kind="IF", reset="subtract", compare=">=")
    x = torch.rand(40, 3, 6, generator=torch.Generator().manual_seed(0))
    own, zero = simulate(net, x).output, simulate(net, x, reset="zero").output
    assert own.sum() > zero.sum() > 0


def test_wrong_input_is_named():
    net = graph((2, 4, 4), (3, 4, 4), conv(np.ones((3, 2, 1, 1)), (4, 4)), lif((3, 4, 4)))
    with pytest.raises(UserError, match=r"expected input of shape T B 2 4 4, got \(5, 1, 32\); reshape to"):
        simulate(net, torch.zeros(5, 1, 32))
    with pytest.raises(UserError, match="not finite"):
        simulate(net, torch.full((5, 1, 2, 4, 4), torch.nan))


def test_shapes_that_do_not_meet_are_named():
    net = graph(
        (2, 8, 8), (5,), conv(np.ones((3, 2, 3, 3)), (8, 8)), nir.Linear(np.ones((5, 100), dtype="f4"))
    )
    with pytest.raises(
        UnsupportedGraph, match=r"1 expects 100 inputs, gets shape \(3, 6, 6\); a Flatten may be missing"
    ):
        read(net)
    net = graph((3, 8, 8), (4, 8, 8), conv(np.ones((4, 2, 3, 3)), (8, 8), 1, 1))
    with pytest.raises(UnsupportedGraph, match=r"expects \(2, height, width\)"):
        read(net)


# Folding ----------------------------------------------------------------------------------------------------


def pool(kind, size, stride=None, padding=0):
    two = [np.array([n, n]) for n in (size, size if stride is None else stride, padding)]
    return getattr(nir, kind)(*two)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_folded_maps_equal_the_nodes_one_after_another(data):
    """Random chains of convolutions and pools, then perhaps a dense layer: one map, the same numbers."""
    draw, rng = data.draw, np.random.default_rng(data.draw(st.integers(0, 999)))
    shape, nodes = (2, draw(st.integers(7, 10)), draw(st.integers(7, 10))), []
    start = shape
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            kind, size = draw(st.sampled_from(["AvgPool2d", "SumPool2d"])), draw(st.integers(1, 3))
            pad = draw(st.integers(0, size // 2))
            nodes.append(pool(kind, size, draw(st.integers(1, 3)), pad))
        else:
            groups, k = draw(st.sampled_from([1, 2])), draw(st.integers(1, 3))
            bias = rng.normal(size=4).astype("f4") if draw(st.booleans()) else None
            stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, 2))
            nodes.append(
                conv(rng.normal(size=(4, shape[0] // groups, k, k)), None, stride, pad, groups, bias)
            )
        try:
            shape = read(graph(start, shape, *nodes))[-1].in_shape
        except UnsupportedGraph:
            return  # nothing left to convolve
        if min(shape[1:]) < 1:
            return
    if draw(st.booleans()):
        nodes += [nir.Flatten({"input": np.array(shape)}, 0, -1)]
        nodes += [nir.Linear(rng.normal(size=(3, int(np.prod(shape)))).astype("f4"))]
        shape = (3,)
    net = graph(start, shape, *nodes, lif(shape, kind="LI"))
    (stage,) = stages(net, "the test")
    x = torch.rand(3, 2, *start, dtype=torch.float64)
    direct = simulate(graph(start, shape, *nodes), x, dtype=torch.float64).output
    folded = stage.synapse(x) + stage.synapse.per_channel(stage.synapse.bias)
    torch.testing.assert_close(folded, direct)


def test_pool_before_a_convolution_stays_a_convolution():
    weight = np.random.default_rng(0).normal(size=(4, 2, 3, 3))
    net = graph((2, 8, 8), (4, 4, 4), pool("AvgPool2d", 2), conv(weight, (4, 4), 1, 1), lif((4, 4, 4)))
    (stage,) = stages(net, "the test")
    assert stage.synapse.is_conv and stage.synapse.weight.shape == (4, 2, 6, 6)
    # 9 x 9 leaves a row that no window covers, which the padding would wrongly see: a matrix instead
    net = graph((2, 9, 9), (4, 4, 4), pool("AvgPool2d", 2), conv(weight, (4, 4), 1, 1), lif((4, 4, 4)))
    assert not stages(net, "the test")[0].synapse.is_conv


def test_depthwise_pooling_alone_keeps_its_groups():
    net = graph((6, 8, 8), (6, 4, 4), pool("SumPool2d", 2), lif((6, 4, 4)))
    (stage,) = stages(net, "the test")
    assert stage.synapse.groups == 6 and stage.synapse.weight.shape == (6, 1, 2, 2)


@pytest.mark.parametrize("r", [1.0, 1e3, 400.0])
def test_if_nodes_of_other_libraries_are_read_as_from_nir_reads_them(r):
    one = np.ones(4, dtype=np.float32)
    node = nir.IF(r=r * one, v_threshold=1.5 * one, v_reset=0 * one)
    net = graph((4,), (4,), nir.Linear(np.eye(4, dtype=np.float32)), node)
    x = torch.rand(40, 2, 4, generator=torch.Generator().manual_seed(0))
    expected = from_nir(net, dt=1e-3)(x)
    assert expected.sum() > 0
    assert torch.equal(simulate(net, x, dt=1e-3).output, expected)
