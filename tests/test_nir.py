"""NIR: a network comes back spike for spike, other libraries read what is meant, and bad files are one clear error."""

import json
from collections import OrderedDict

import h5py
import nir
import numpy as np
import pytest
import torch
from torch import nn

from snnkit import surrogate
from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.interop import from_nir, load, save, to_nir, write_nir
from snnkit.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential, SumPool2d
from snnkit.neurons import IF, LIF, AdaptiveLIF, CubaLIF, LeakyIntegrator

DT = 1e-3


def spikes(*shape, density=0.3, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def generator():
    return torch.Generator().manual_seed(3)


NEURONS = {
    "IF": lambda **kw: IF(**kw),
    "IF without dt": lambda **kw: IF(**{**kw, "dt": None}),
    "LIF": lambda **kw: LIF(tau=20e-3, **kw),
    "LIF per neuron": lambda **kw: LIF(tau=torch.linspace(5e-3, 30e-3, 8), **kw),
    "LIF learned": lambda **kw: LIF(tau=torch.linspace(0.2, 1.7, 8), learn=("tau", "threshold"), **kw),
    "LIF scaled": lambda **kw: LIF(tau=7.3e-3, scale_input=True, **{**kw, "threshold": 0.1}),
    "CubaLIF": lambda **kw: CubaLIF(tau_syn=5e-3, tau_mem=11e-3, **{**kw, "threshold": 4.0}),
    "CubaLIF scaled": lambda **kw: CubaLIF(
        tau_syn=5e-3, tau_mem=11e-3, scale_input=True, **{**kw, "threshold": 0.05}
    ),
}


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("compare", [">=", ">"])
@pytest.mark.parametrize("kind", NEURONS)
def test_neurons_come_back_spike_for_spike(tmp_path, kind, reset, compare):
    settings = {"dt": DT, "reset": reset, "compare": compare, "threshold": 1.25, "initial_v": 0.3}
    net = Sequential(Linear(12, 8, generator=generator()), NEURONS[kind](**settings))
    with torch.no_grad():
        net[0].weight.mul_(8).round_().div_(8)  # eighths meet thresholds exactly, where >= and > differ
    save(net, tmp_path / "net.nir")
    again = load(tmp_path / "net.nir")
    x = spikes(200, 3, 12)
    assert torch.equal(again(x), net(x)) and 0 < net(x).mean() < 1
    assert torch.equal(from_nir(to_nir(net))(x), net(x))
    assert type(again[1]) is type(net[1])
    for name in ("dt", "reset", "compare", "surrogate", "detach_reset", "learnable"):
        assert getattr(again[1], name) == getattr(net[1], name)
    for key, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
        assert again.state_dict()[key].dtype == value.dtype or not value.dim()


def test_ties_are_what_compare_says(tmp_path):
    for compare, expected in ((">=", 4), (">", 3)):
        net = Sequential(IF(compare=compare, dt=DT))
        save(net, tmp_path / "n.nir", input_shape=1)
        assert load(tmp_path / "n.nir")(torch.full((16, 1, 1), 0.25)).sum() == expected


@pytest.mark.parametrize("scale_input", [False, True])
def test_readouts_come_back_to_the_bit(tmp_path, scale_input):
    net = Sequential(Linear(5, 4, bias=True), LeakyIntegrator(tau=13e-3, dt=DT, scale_input=scale_input))
    save(net, tmp_path / "net.nir")
    x = spikes(50, 2, 5)
    assert torch.equal(load(tmp_path / "net.nir")(x), net(x))


def test_double_precision_survives(tmp_path):
    net = Sequential(Linear(5, 4, bias=True), LIF(tau=13e-3, dt=DT, threshold=1 / 3, learn="tau")).double()
    save(net, tmp_path / "net.nir")
    again, x = load(tmp_path / "net.nir"), spikes(50, 2, 5).double()
    assert again[0].weight.dtype == torch.float64 and torch.equal(again(x), net(x))


def conv_net():
    torch.manual_seed(1)
    return Sequential(
        Conv2d(2, 6, (3, 2), stride=(1, 2), padding=(1, 0), bias=True),
        LIF(tau=10e-3, dt=DT, threshold=0.8),
        SumPool2d(2),
        Conv2d(6, 4, 3, padding="same", dilation=1, groups=2),
        IF(threshold=0.5, dt=DT, initial_v=0.25),
        AvgPool2d(2, padding=1),
        Sequential(OrderedDict(flat=Flatten(), drop=Dropout(0.3))),
        Linear(4 * 3 * 2, 5),
        LeakyIntegrator(tau=20e-3, dt=DT),
    ).eval()


def test_convolutional_networks_come_back_spike_for_spike(tmp_path):
    net, x = conv_net(), spikes(30, 2, 2, 8, 9)
    save(net, tmp_path / "net.nir", input_shape=(2, 8, 9))
    again = load(tmp_path / "net.nir")
    assert torch.equal(again(x), net(x)) and net[:5](x).mean() > 0.01
    assert again.input_shape == (2, 8, 9)
    assert again[3].bias is None and again[3].padding == "same"
    to_nir(again)  # it remembers the shape of its input


def test_nodes_are_named_as_the_layers_of_an_activity():
    net, x = conv_net(), spikes(5, 2, 2, 8, 9)
    graph = to_nir(net, (2, 8, 9))
    with trace(net) as activity:
        net(x)
    assert list(graph.nodes) == ["input", "0", "1", "2", "3", "4", "5", "6_flat", "7", "8", "output"]
    assert set(activity.layers) <= set(graph.nodes)
    again = from_nir(graph)
    with trace(again) as same:
        again(x)
    assert same.to_dict() == activity.to_dict()
    for name, layer in activity.layers.items():
        assert layer.kind == {"Affine": "Linear", "LI": "LeakyIntegrator"}.get(
            type(graph.nodes[name]).__name__, type(graph.nodes[name]).__name__
        )


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_is_folded(bias):
    torch.manual_seed(2)
    net = Sequential(
        Conv2d(1, 4, 3, bias=bias),
        BatchNorm(4),
        LIF(tau=10e-3, dt=DT),
        Flatten(),
        Linear(64, 5, bias=bias),
        Dropout(0.5),
        BatchNorm(5, affine=False),
        LeakyIntegrator(tau=10e-3, dt=DT),
    )
    with torch.no_grad():
        net[1].weight.uniform_(0.5, 2)
        net[1].bias.uniform_(-0.5, 0.5)
    net(spikes(20, 4, 1, 6, 6))  # one step of training gives the running statistics
    net.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    again, x = from_nir(to_nir(net, (1, 6, 6))), spikes(20, 2, 1, 6, 6, seed=5)
    assert [name for name, _ in again.named_children()] == ["0", "2", "3", "4", "7"]
    torch.testing.assert_close(again(x), net(x), rtol=1e-4, atol=1e-4)
    assert all(
        torch.equal(v, before[k]) for k, v in net.state_dict().items()
    )  # the network itself is as it was


@pytest.mark.parametrize("scale_input", [False, True])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF", "LI"])
def test_fields_mean_our_step_by_eulers_rule(kind, scale_input):
    settings = {} if kind == "IF" else {"scale_input": scale_input}
    neuron = {
        "IF": lambda: IF(dt=DT, threshold=2.0),
        "LIF": lambda: LIF(tau=9e-3, dt=DT, threshold=2.0, **settings),
        "CubaLIF": lambda: CubaLIF(tau_syn=4e-3, tau_mem=9e-3, dt=DT, threshold=2.0, **settings),
        "LI": lambda: LeakyIntegrator(tau=9e-3, dt=DT, **settings),
    }[kind]()
    node = to_nir(Sequential(neuron), 1).nodes["0"]
    x = np.random.default_rng(0).normal(size=40)
    v, i, trajectory = 0.0, 0.0, []
    for x_t in x:  # what the documentation of NIR says, below threshold
        if kind == "IF":
            v += DT * node.r[0] * x_t
        elif kind == "CubaLIF":
            i += DT / node.tau_syn[0] * (node.w_in[0] * x_t - i)
            v += DT / node.tau_mem[0] * (node.v_leak[0] - v + node.r[0] * i)
        else:
            v += DT / node.tau[0] * (node.v_leak[0] - v + node.r[0] * x_t)
        trajectory.append(v)
    state, ours = None, []
    neuron.reset = "none"
    for x_t in torch.from_numpy(x).float():
        _, state = neuron.step(x_t.view(1, 1), state)
        ours.append(state.v.item())
    np.testing.assert_allclose(ours, trajectory, rtol=1e-4, atol=1e-5)
    assert kind == "LI" or node.v_threshold[0] == 2.0


def foreign(node, n_in=6, n_out=4, bias=True):
    """A graph as another library writes it: no metadata."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.6, (n_out, n_in)).astype(np.float32)
    synapse = nir.Affine(weight, rng.normal(0, 0.1, n_out).astype(np.float32)) if bias else nir.Linear(weight)
    return nir.NIRGraph.from_list(synapse, node)


def euler(graph, x, dt):
    """Every neuron of NIR by Euler's rule, in double precision."""
    affine, node = graph.nodes["affine"], next(n for n in graph.nodes.values() if hasattr(n, "r"))
    current = x @ affine.weight.T.astype(float) + affine.bias
    v, i, out = 0.0, 0.0, []
    for x_t in current:
        if isinstance(node, nir.IF):
            v = v + (1.0 if (node.r == 1).all() else dt * node.r) * x_t
        elif isinstance(node, nir.CubaLIF):
            i = i + dt / node.tau_syn * (node.w_in * x_t - i)
            v = v + dt / node.tau_mem * (node.v_leak - v + node.r * i)
        else:
            v = v + dt / node.tau * (node.v_leak - v + node.r * x_t)
        if isinstance(node, nir.LI):
            out.append(v)
            continue
        z = v > node.v_threshold
        v = np.where(z, node.v_reset, v)
        out.append(z)
    return np.array(out, float)


ONE = np.ones(4)


@pytest.mark.parametrize(
    "node",
    [
        nir.LIF(tau=1e-3 * np.array([1.0, 2, 3, 4]), r=ONE, v_leak=0 * ONE, v_threshold=0.12 * ONE),
        nir.LIF(tau=2e-3 * ONE, r=20 * ONE, v_leak=0 * ONE, v_threshold=ONE),
        nir.LIF(tau=2e-3 * ONE, r=5 * ONE, v_leak=0 * ONE, v_threshold=0.3 * ONE),
        nir.IF(r=1e4 * ONE, v_threshold=ONE),
        nir.IF(r=ONE, v_threshold=ONE),
        nir.CubaLIF(
            tau_syn=ONE * 5e-4, tau_mem=ONE * 1e-3, r=10 * ONE, v_leak=0 * ONE, v_threshold=ONE, w_in=5 * ONE
        ),
        nir.CubaLIF(tau_syn=ONE * 5e-4, tau_mem=ONE * 1e-3, r=ONE, v_leak=0 * ONE, v_threshold=0.1 * ONE),
        nir.LI(tau=np.array([1.0, 2, 3, 4]) * 1e-3, r=ONE, v_leak=0 * ONE),
    ],
    ids=["LIF r=1", "LIF r=tau/dt", "LIF r=5", "IF r=1/dt", "IF r=1", "CubaLIF", "CubaLIF r=1", "LI"],
)
def test_graphs_of_other_libraries_run_by_eulers_rule(node):
    graph, x = foreign(node), spikes(120, 1, 6).double()
    ours = from_nir(graph, dt=1e-4).double()(x)[:, 0].detach().numpy()
    expected = euler(graph, x[:, 0].numpy(), 1e-4)
    if isinstance(node, nir.LI):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
    else:
        assert 0.02 < expected.mean() < 0.98
        np.testing.assert_array_equal(ours, expected)


def test_flatten_of_other_libraries_that_keep_a_batch_axis():
    graph = to_nir(Sequential(Flatten(), Linear(12, 3)), (3, 2, 2))
    graph.nodes["0"].start_dim = 1
    assert from_nir(graph)(torch.zeros(2, 1, 3, 2, 2)).shape == (2, 1, 3)
    graph = to_nir(Sequential(Flatten()), (3, 2, 2))
    graph.nodes["0"].start_dim = 1
    with pytest.raises(UserError, match=r"node 0 flattens axes 1 to -1; snnkit flattens all axes"):
        from_nir(graph)


@pytest.mark.parametrize(
    "net, shape, message",
    [
        (
            Sequential(Linear(3, 2), AdaptiveLIF(tau=0.02, tau_adapt=0.2, dt=DT)),
            None,
            "layer 1 is an AdaptiveLIF.*use LIF",
        ),
        (Sequential(Linear(3, 2), nn.ReLU()), None, "layer 1 is a ReLU"),
        (Sequential(Conv2d(2, 4, 3), LIF(tau=0.02, dt=DT)), None, r"layer 0 \(Conv2d\).*pass input_shape"),
        (Sequential(LIF(tau=0.02, dt=DT)), None, "pass input_shape"),
        (
            Sequential(Conv2d(2, 4, 3), LIF(tau=0.02, dt=DT)),
            (3, 8, 8),
            r"layer 0 takes input of shape \(2, H, W\)",
        ),
        (Sequential(Conv2d(2, 4, 3)), (2, 2, 2), r"layer 0 cannot take input of shape \(2, 2, 2\)"),
        (
            Sequential(Conv2d(2, 4, 3), Linear(16, 3)),
            (2, 4, 4),
            r"layer 1 takes 16 inputs .*put a Flatten before it",
        ),
        (Sequential(BatchNorm(3), Linear(3, 2)), 3, "BatchNorm that does not follow"),
        (
            Sequential(Linear(3, 4), LIF(tau=[0.02, 0.03], dt=DT)),
            None,
            r"parameter of shape \(2,\) does not fit",
        ),
        (Sequential(), None, "no layer"),
        (nn.TransformerEncoderLayer(4, 2), 4, "the network is a TransformerEncoderLayer"),
    ],
)
def test_networks_that_nir_cannot_hold(tmp_path, net, shape, message):
    with pytest.raises(UserError, match=message):
        save(net, tmp_path / "net.nir", shape)
    assert not list(tmp_path.iterdir())


def graph_with(change):
    graph = to_nir(Sequential(Linear(3, 4), LIF(tau=0.02, dt=DT)))
    change(graph)
    return graph


def strip(graph):
    graph.nodes["1"].metadata = {}


def lif_node(**changes):
    fields = {"tau": 0.02 * ONE, "r": ONE, "v_leak": 0 * ONE, "v_threshold": ONE, "v_reset": 0 * ONE}
    return nir.LIF(**(fields | {k: v * ONE for k, v in changes.items()}))


@pytest.mark.parametrize(
    "graph, dt, message",
    [
        (
            graph_with(strip),
            None,
            r"node 1 \(LIF\) does not say its time step; pass the writer's, such as dt=1e-3",
        ),
        (graph_with(lambda g: None), 1e-4, "node 1 was made for dt=0.001 s, got dt=0.0001 s"),
        (graph_with(lambda g: g.nodes["1"].metadata.update(snnkit_kind="Izhikevich")), None, "'Izhikevich'"),
        (graph_with(lambda g: g.nodes["1"].metadata.update(reset="hard")), None, r"node 1 \(LIF\).*'hard'"),
        (
            graph_with(lambda g: g.nodes.update({"1": nir.Scale(ONE)})),
            None,
            "node 1 is a Scale, which snnkit cannot read",
        ),
        (graph_with(lambda g: g.edges.append(("1", "0"))), None, "branching and recurrent graphs"),
        (
            graph_with(lambda g: g.edges.append(("1", "x"))),
            None,
            "leads to a node that the graph does not have",
        ),
        (graph_with(lambda g: g.edges.pop()), None, "leads nowhere"),
        (graph_with(lambda g: g.nodes.update(lost=nir.Scale(ONE))), None, "node lost .* not on the path"),
        (graph_with(lambda g: g.nodes["0"].weight.fill(np.nan)), None, "node 0 .*NaN"),
        (foreign(lif_node(v_leak=0.5)), 1e-4, "resets to v_reset=0 but rests at v_leak=0.5"),
        (foreign(lif_node(tau=5e-5)), 1e-4, "not above dt=0.0001 s; both are in seconds"),
        (foreign(lif_node(r=-1.0)), 1e-4, "input gain"),
        (foreign(nir.LI(tau=0.02 * ONE, r=ONE, v_leak=ONE)), 1e-4, "rests at v_leak=1"),
    ],
)
def test_graphs_that_snnkit_cannot_run(graph, dt, message):
    with pytest.raises(UserError, match=message) as caught:
        from_nir(graph, dt)
    assert "\n" not in str(caught.value)


def test_a_foreign_leak_shifts_the_membrane():
    graph = foreign(lif_node(tau=2e-3, r=20.0, v_leak=0.4, v_reset=0.4, v_threshold=1.4))
    shifted = foreign(lif_node(tau=2e-3, r=20.0))
    x = spikes(80, 2, 6)
    assert torch.equal(from_nir(graph, 1e-4)(x), from_nir(shifted, 1e-4)(x))


def truncated(path):
    save(Sequential(Linear(300, 40)), path)
    path.write_bytes(path.read_bytes()[:3000])


def other_hdf5(path):
    with h5py.File(path, "w") as f:
        f["data"] = 3


def unknown_type(path):
    save(Sequential(Linear(3, 4)), path)
    with h5py.File(path, "a") as f:
        del f["node/nodes/0/type"]
        f["node/nodes/0/type"] = "Quantum"


def missing_field(path):
    save(Sequential(Linear(3, 4)), path)
    with h5py.File(path, "a") as f:
        del f["node/nodes/0/weight"]


def wrong_field(path):
    save(Sequential(Linear(3, 4)), path)
    with h5py.File(path, "a") as f:
        del f["node/nodes/0/weight"]
        f["node/nodes/0/weight"] = "text"


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda p: p.write_bytes(np.random.default_rng(0).bytes(500)), "is not a NIR file"),
        (lambda p: p.write_bytes(b""), "is not a NIR file"),
        (lambda p: p.write_text(json.dumps({})), "is not a NIR file"),
        (truncated, "is not a NIR file"),
        (other_hdf5, "not a NIR graph"),
        (unknown_type, "node 0 is a 'Quantum', which NIR"),
        (missing_field, "is not a valid NIR file"),
        (wrong_field, "net.nir"),
        (lambda p: None, "there is no file"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path, write, message):
    path = tmp_path / "net.nir"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    save(Sequential(Linear(3, 4)), path)
    before = path.read_bytes()

    def broken(file, graph):
        with open(file, "wb") as f:
            f.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", broken)
    with pytest.raises(UserError, match=r"cannot write .*net.nir: No space left on device"):
        save(Sequential(Linear(3, 5)), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["net.nir"]


def test_places_that_cannot_be_written(tmp_path):
    net = Sequential(Linear(3, 4))
    with pytest.raises(UserError, match="is a folder"):
        save(net, tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*create it first"):
        save(net, tmp_path / "no" / "net.nir")
    with pytest.raises(TypeError, match=r"from_nir takes a nir\.NIRGraph"):
        from_nir("net.nir")


def test_training_goes_on_where_it_stopped(tmp_path):
    cell = LIF(tau=0.02, dt=DT, learn="tau", surrogate=surrogate.FastSigmoid(slope=7.0), detach_reset=True)
    net = Sequential(Linear(6, 4, generator=generator()), cell)
    write_nir(to_nir(net), tmp_path / "net.nir")
    again, x = load(tmp_path / "net.nir"), spikes(30, 2, 6)
    for one in (net, again):
        one(x).sum().backward()
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in net.named_parameters()]
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)
