"""From a snnkit network to joules, cores and integers: trace, NIR, estimate, place, deploy."""

import json

import pytest
import torch

from snnkit.activity import trace
from snnkit.events import EventTensor
from snnkit.hardware import NoEnergy, chips, deploy, estimate, place, simulate
from snnkit.interop.nir_io import to_nir
from snnkit.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential, SumPool2d
from snnkit.neurons import IF, LIF, CubaLIF, LeakyIntegrator


def network(reset="zero", compare=">=", readout=True):
    """Convolutions with batch norm and pooling, a CubaLIF, an IF, dropout; membranes or spikes at the end."""
    torch.manual_seed(0)
    common = {"reset": reset, "compare": compare, "threshold": 0.3}
    times = {"dt": 10e-3, "tau": 30e-3}
    last = LeakyIntegrator(**times) if readout else LIF(**times, **common)
    net = Sequential(
        Conv2d(2, 8, 3, stride=2, padding=1),
        BatchNorm(8),
        LIF(**times, **common),
        AvgPool2d(2),
        Conv2d(8, 8, 3, padding=1, bias=True),
        CubaLIF(tau_syn=20e-3, tau_mem=30e-3, dt=10e-3, scale_input=True, **common),
        SumPool2d(2),
        Flatten(),
        Dropout(0.2),
        Linear(32, 24, bias=True),
        IF(dt=10e-3, initial_v=0.1, **common),
        Linear(24, 10),
        last,
    )
    x = (torch.rand(16, 12, 2, 16, 16) < 0.2).float()
    net(x)  # batch norm sees data
    return net.eval(), x


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("compare", [">=", ">"])
def test_the_simulator_repeats_our_networks_spike_for_spike(reset, compare):
    net, x = network(reset, compare)
    graph = to_nir(net, (2, 16, 16))
    torch.manual_seed(0)
    folded = simulate(graph, x)
    # Without batch norm nothing is folded, so nothing is rounded anew.
    plain = Sequential(*(m for m in net if not isinstance(m, BatchNorm))).eval()
    with torch.no_grad():
        assert torch.equal(simulate(to_nir(plain, (2, 16, 16)), x).output, plain(x))
        assert (folded.output - net(x)).abs().mean() < 0.05 * net(x).abs().mean()


@pytest.mark.parametrize("name", [c for c in chips() if c != "loihi2"])
def test_every_chip_gives_an_estimate_for_a_real_trace(name):
    net, x = network()
    with trace(net) as activity, torch.no_grad():
        net(EventTensor.from_dense(x, dt=10e-3))
    report = estimate(to_nir(net, (2, 16, 16)), activity, chip=name)
    assert 0 < report.low_j <= report.energy_j <= report.high_j < 1
    assert report.steps == 16 and json.dumps(report.to_dict())
    with pytest.raises(NoEnergy):
        estimate(to_nir(net, (2, 16, 16)), activity, chip="loihi2")


def test_placement_and_deployment_of_a_real_network(tmp_path):
    net, x = network(readout=False)
    graph = to_nir(net, (2, 16, 16))
    assert place(graph, "loihi").n_cores == 4 and place(graph, "speck").n_cores == 4
    done = deploy(
        graph,
        "loihi",
        tmp_path / "loihi",
        vectors=EventTensor.from_dense(x, dt=10e-3),
        labels=torch.zeros(12),
    )
    first = next(iter(done.report["layers"].values()))
    assert first["identical_bins"] > 0.99 and first["float_rate"] > 0.01
    assert done.agreement is not None and done.report["placement"]["cores"] == 4
