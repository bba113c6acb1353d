"""Delays in NIR graphs and files: the same network again, Delay nodes where NIR has a place for them."""

import itertools

import nir
import numpy as np
import pytest
import torch

import snnkit
from snnkit.errors import UserError
from snnkit.interop import from_nir, to_nir
from snnkit.layers import BatchNorm, DelayedConv2d, DelayedLinear, Flatten, Sequential, rounded_delays
from snnkit.neurons import LIF, CubaLIF

MS = 1e-3


def network(form="two-tap", kind="synaptic", **options):
    g = torch.Generator().manual_seed(0)
    return Sequential(
        DelayedLinear(5, 6, max_delay=7 * MS, dt=MS, form=form, kind=kind, generator=g, **options),
        LIF(tau=9 * MS, dt=MS),
        DelayedLinear(6, 3, max_delay=4 * MS, dt=MS, generator=g),
    ).eval()


def drive():
    return (torch.rand(20, 2, 5, generator=torch.Generator().manual_seed(1)) < 0.4).float()


@pytest.mark.parametrize(
    "form,kind", itertools.product(("two-tap", "gaussian", "integer"), ("synaptic", "axonal", "dendritic"))
)
def test_files_give_the_same_network(form, kind, tmp_path):
    net = network(form, kind, sigma=1.7, bias=True, tail=2 * MS)
    net[0].bias.data.fill_(0.05)
    snnkit.save(net, tmp_path / "net.nir")
    same = snnkit.load(tmp_path / "net.nir").eval()
    assert torch.equal(same(drive()), net(drive())) and float(net(drive()).detach().abs().max()) > 0
    first = same[0]
    assert (first.form, first.kind, first.sigma, first.longest, first.tail) == (form, kind, 1.7, 7, 2)
    assert torch.equal(first.delay, net[0].delay) and isinstance(first.delay, torch.nn.Parameter)


def test_delays_per_channel_are_nodes_that_others_read():
    for kind, order in (("axonal", ["0_delay", "0"]), ("dendritic", ["0", "0_delay"])):
        net = network(kind=kind)
        graph = to_nir(net)
        assert list(graph.nodes)[1:3] == order
        node = graph.nodes["0_delay"]
        assert isinstance(node, nir.Delay)
        assert np.allclose(node.delay, net[0].delay_seconds.detach().flatten(), atol=1e-9)
        assert len(node.delay) == (5 if kind == "axonal" else 6)
    graph = to_nir(network())
    assert "0_delay" not in graph.nodes and graph.nodes["0"].metadata["delay"].shape == (6, 5)


def test_a_foreign_delay_node_becomes_axonal_delays():
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "late": nir.Delay(np.array([0.0, 2e-3, 5e-3])),
        "fc": nir.Linear(weight),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "late"), ("late", "fc"), ("fc", "output")]
    net = from_nir(nir.NIRGraph(nodes, edges), dt=MS)
    x = torch.zeros(8, 1, 3)
    x[0] = 1.0
    y = net(x)[:, 0]
    assert y.nonzero()[:, 0].unique().tolist() == [0, 2, 5] and torch.equal(y[5], torch.tensor([2.0, 5.0]))
    with pytest.raises(UserError, match="needs a time step"):
        from_nir(nir.NIRGraph(nodes, edges))
    nodes["late"] = nir.Delay(np.array([0.0, -2e-3, 5e-3]))
    with pytest.raises(UserError, match="none negative"):
        from_nir(nir.NIRGraph(nodes, edges), dt=MS)
    del nodes["fc"]
    nodes["late"], nodes["output"] = nir.Delay(np.zeros(3)), nir.Output({"output": np.array([3])})
    with pytest.raises(UserError, match="no weights behind it"):
        from_nir(nir.NIRGraph(nodes, [("input", "late"), ("late", "output")]), dt=MS)


def test_a_norm_behind_delays_is_folded_and_rounding_survives():
    net = Sequential(network()[0], BatchNorm(6), LIF(tau=9 * MS, dt=MS))
    net[1].running_mean.normal_(generator=torch.Generator().manual_seed(2))
    net[1].running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(3))
    net.eval()
    same = from_nir(to_nir(net)).eval()
    assert len(same) == 2
    assert torch.allclose(same[0](drive()), net[1](net[0](drive())), atol=1e-5)
    whole = rounded_delays(network())
    again = from_nir(to_nir(whole)).eval()
    assert again[0].form == "integer" and not list(again[0].parameters())[1:]
    assert torch.equal(again(drive()), whole(drive()))


def test_the_rule_of_training_survives():
    net = Sequential(
        network()[0], CubaLIF(tau_syn=4 * MS, tau_mem=9 * MS, dt=MS, gradient="eventprop", slope_floor=0.1)
    )
    same = from_nir(to_nir(net))
    assert same[1].gradient == "eventprop" and same[1].slope_floor == 0.1


# -- convolutions -----------------------------------------------------------------------------------------------------

KINDS = ("channel", "synaptic", "axonal", "dendritic")


def pictures(kind="channel", form="two-tap"):
    g = torch.Generator().manual_seed(0)
    return Sequential(
        DelayedConv2d(2, 3, (3, 2), (2, 1), (1, 0), max_delay=7 * MS, dt=MS, form=form, kind=kind, sigma=1.7, bias=True, generator=g),
        BatchNorm(3),
        LIF(tau=9 * MS, dt=MS, threshold=0.3),
        Flatten(),
        DelayedLinear(3 * 3 * 3, 4, max_delay=4 * MS, dt=MS, generator=g),
    ).eval()  # fmt: skip


def seen():
    return (torch.rand(20, 2, 2, 5, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()


@pytest.mark.parametrize("kind,form", itertools.product(KINDS, ("two-tap", "gaussian", "integer")))
def test_delayed_convolutions_come_back_from_files(kind, form, tmp_path):
    net = pictures(kind, form)
    snnkit.save(net, tmp_path / "net.nir", input_shape=(2, 5, 4))
    same = snnkit.load(tmp_path / "net.nir").eval()
    first = same[0]
    assert type(first) is DelayedConv2d and (first.form, first.kind, first.sigma) == (form, kind, 1.7)
    assert torch.equal(first.delay, net[0].delay) and first.weight.shape == net[0].weight.shape
    assert torch.allclose(same[0](seen()), net[1](net[0](seen())), atol=1e-5)
    y = net(seen())
    assert torch.allclose(same(seen()), y, atol=1e-5) and float(y.detach().abs().max()) > 0


def test_delays_of_channels_are_nodes_of_the_shape_of_the_picture():
    for kind, names, shape in (
        ("axonal", ["0_delay", "0"], (2, 5, 4)),
        ("dendritic", ["0", "0_delay"], (3, 3, 3)),
    ):
        graph = to_nir(pictures(kind), input_shape=(2, 5, 4))
        assert list(graph.nodes)[1:3] == names
        delay = graph.nodes["0_delay"].delay
        assert delay.shape == shape
        mine = pictures(kind)[0].delay_seconds.detach().flatten().double().numpy()
        assert np.allclose(delay, mine.reshape(-1, 1, 1) * np.ones(shape), atol=1e-9)
    assert to_nir(pictures("synaptic"), input_shape=(2, 5, 4)).nodes["0"].metadata["delay"].shape == (
        3,
        2,
        3,
        2,
    )
    assert to_nir(pictures("channel"), input_shape=(2, 5, 4)).nodes["0"].metadata["delay"].shape == (
        3,
        2,
        1,
        1,
    )
    with pytest.raises(UserError, match="does not fit"):
        to_nir(pictures(), input_shape=(2, 5, 1))
    with pytest.raises(UserError, match=r"\(2, H, W\)"):
        to_nir(pictures(), input_shape=(3, 5, 4))


def foreign(seconds):
    weight = np.random.default_rng(0).normal(size=(3, 2, 2, 2)).astype(np.float32)
    conv = nir.Conv2d((4, 4), weight, 1, 0, 1, 1, np.zeros(3, np.float32))
    nodes = {
        "input": nir.Input({"input": np.array([2, 4, 4])}),
        "late": nir.Delay(seconds),
        "conv": conv,
        "output": nir.Output({"output": np.array([3, 3, 3])}),
    }
    return nir.NIRGraph(nodes, [("input", "late"), ("late", "conv"), ("conv", "output")], type_check=False)


def test_a_foreign_delay_node_before_a_convolution():
    for seconds in (np.array([1e-3, 3e-3]), np.array([1e-3, 3e-3])[:, None, None] * np.ones((2, 4, 4))):
        net = from_nir(foreign(seconds), dt=MS)
        assert net[0].kind == "axonal" and net[0].delay.flatten().tolist() == [1.0, 3.0]
        x = torch.zeros(6, 1, 2, 4, 4)
        x[0] = 1.0
        assert net(x).flatten(1).any(1).nonzero().flatten().tolist() == [1, 3]
    uneven = np.zeros((2, 4, 4))
    uneven[0, 1, 2] = MS
    with pytest.raises(UserError, match="one delay per channel"):
        from_nir(foreign(uneven), dt=MS)
