"""NIR with other libraries, where they are installed (make peers): the same file gives the same spikes."""

import nir
import pytest
import torch
from torch import nn

from snnkit.interop import from_nir, save, to_nir
from snnkit.layers import Linear, Sequential
from snnkit.neurons import IF, LIF, CubaLIF

DT = 1e-4  # the step that snnTorch assumes
COMMON = {"dt": DT, "reset": "zero", "compare": ">"}  # what NIR's own text says
CELLS = {
    "LIF": lambda: LIF(tau=2e-3, threshold=0.8, **COMMON),
    "CubaLIF": lambda: CubaLIF(tau_syn=1e-3, tau_mem=2e-3, threshold=5.0, **COMMON),
    "IF": lambda: IF(**COMMON),
}


def network(kind):
    g = torch.Generator().manual_seed(0)
    net = Sequential(
        Linear(20, 16, bias=True, generator=g),
        CELLS[kind](),
        Linear(16, 4, bias=True, generator=g),
        CELLS[kind](),
    )
    return net, (torch.rand(200, 2, 20, generator=g) < 0.2).float()


def in_snntorch(graph, x):
    module = pytest.importorskip("snntorch.import_nir").import_from_nir(graph)
    out, state = [], None
    for x_t in x:
        y, state = module(x_t, state)
        out.append(y)
    return torch.stack(out)


def in_spikingjelly(graph, x):
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional

    module = exchange.import_from_nir(graph, dt=DT)
    functional.set_step_mode(module, "m")
    functional.reset_net(module)
    return module(x)[0]


@pytest.mark.parametrize(
    "run, kind",
    [
        (in_snntorch, "LIF"),
        (in_snntorch, "CubaLIF"),
        (in_spikingjelly, "LIF"),
        (in_spikingjelly, "CubaLIF"),
        (in_spikingjelly, "IF"),
    ],
)
def test_our_files_spike_alike_elsewhere(tmp_path, run, kind):
    net, x = network(kind)
    save(net, tmp_path / "net.nir")
    ours = net(x)
    assert ours.sum() > 20
    assert torch.equal(run(nir.read(tmp_path / "net.nir"), x), ours)


def test_graphs_of_spikingjelly_spike_alike_here():
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional, layer, neuron

    torch.manual_seed(1)
    theirs = nn.Sequential(
        layer.Linear(20, 16),
        neuron.LIFNode(tau=9.0, decay_input=False),
        layer.Linear(16, 4),
        neuron.LIFNode(tau=5.0),
    )
    functional.set_step_mode(theirs, "m")
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.mul_(4)  # so that the last layer fires
    x = (torch.rand(200, 1, 20) < 0.3).float()
    graph = exchange.export_to_nir(theirs, x, dt=DT)
    functional.reset_net(theirs)
    spikes = theirs(x)
    ours = from_nir(graph, dt=DT)(x)
    assert spikes.sum() > 20
    assert (ours != spikes).float().mean() < 1e-3


def test_what_other_libraries_read_is_typed():
    net, _ = network("LIF")
    graph = to_nir(net)
    assert graph.check_types()
