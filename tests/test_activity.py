"""Activity: counts equal those of naive loops, for events in either form, and are means per inference."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sparse import naive_conv_synops
from torch import nn

from snnkit.activity import Activity, trace
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
)
from snnkit.neurons import IF, LIF, LeakyIntegrator


def spikes(*shape, density=0.3, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def traced(net, *inputs):
    with torch.no_grad(), trace(net) as activity:
        for x in inputs:
            net(x)
    return activity


pairs = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))


@settings(max_examples=40, deadline=None)
@given(
    kernel=pairs(1, 3),
    stride=pairs(1, 3),
    padding=pairs(0, 2),
    dilation=pairs(1, 2),
    groups=st.sampled_from([1, 2]),
    size=pairs(5, 7),
    counts=st.booleans(),
)
def test_conv_synops_equal_those_of_naive_loops(kernel, stride, padding, dilation, groups, size, counts):
    x = spikes(2, 1, 2, *size) * (torch.arange(1, size[1] + 1) if counts else 1)
    conv = Conv2d(2, 4, kernel, stride, padding, dilation=dilation, groups=groups)
    expected = naive_conv_synops(x[:, 0].numpy(), 4, kernel, stride, padding, dilation, groups)
    assert traced(conv, x).layers["0"].synops == expected
    assert traced(conv, EventTensor.from_dense(x, 1e-3)).layers["0"].synops == expected


def test_padding_by_name_is_counted_as_torch_pads():
    x = spikes(2, 1, 1, 5, 5)
    same = Conv2d(1, 2, 4, padding="same")
    padded = nn.functional.pad(x[:, 0], (1, 2, 1, 2))  # an even kernel pads one more behind
    expected = naive_conv_synops(padded.numpy(), 2, (4, 4), (1, 1), (0, 0), (1, 1), 1)
    assert traced(same, x).layers["0"].synops == expected
    valid = traced(Conv2d(1, 2, 4, padding="valid"), x)
    assert valid.layers["0"].synops == naive_conv_synops(
        x[:, 0].numpy(), 2, (4, 4), (1, 1), (0, 0), (1, 1), 1
    )


@pytest.mark.parametrize(
    "form", [lambda x: x, lambda x: EventTensor.from_dense(x, 1e-3)], ids=["dense", "events"]
)
def test_linear_counts_events_times_fan_out(form):
    x = spikes(6, 4, 10)
    seen = traced(Linear(10, 7), form(x)).layers["0"]
    assert seen.synops == float(x.sum()) * 7 / 4
    assert (seen.macs, seen.dense_macs, seen.fan_in, seen.neurons) == (0, 70, 10, 0)


@pytest.mark.parametrize(
    "x, synops, macs",
    [
        (torch.tensor([1.0, 0.0, -1.0]), 2 * 5, 0),  # signed spikes
        (torch.tensor([3.0, 0.0, 1.0]), 4 * 5, 0),  # counts
        (torch.tensor([0.5, 0.0, 1.0]), 0, 3 * 5),  # analog: zeros cost as much
        (torch.tensor([2.0, 0.0, -1.0]), 0, 3 * 5),  # whole, but neither spikes nor counts
        (torch.tensor([1.0, 1.0, 1.0]), 3 * 5, 0),  # all ones are spikes
        (torch.zeros(3), 0, 0),
    ],
)
def test_what_counts_as_an_event(x, synops, macs):
    seen = traced(Linear(3, 5), x.view(1, 1, 3)).layers["0"]
    assert (seen.synops, seen.macs) == (synops, macs)


@pytest.mark.parametrize("pool, cells", [(AvgPool2d(2), 9), (SumPool2d(2), 9), (AvgPool2d(3, padding=1), 4)])
def test_pooled_events_are_still_events(pool, cells):
    x = spikes(3, 2, 1, 6, 6)
    net = Sequential(nn.Identity(), pool, nn.Identity(), Flatten(), Dropout(0.5), Linear(cells, 5))
    seen = traced(net.eval(), x)
    windows = SumPool2d(pool.kernel_size, pool.stride, pool.padding)(
        x
    )  # an event in no window reaches nothing
    assert list(seen.layers) == ["5"] and seen.layers["5"].macs == 0
    assert seen.layers["5"].synops == pytest.approx(float(windows.sum()) * 5 / 2)


def conv_net():
    torch.manual_seed(0)
    return Sequential(
        Conv2d(2, 4, 3, padding=1),
        BatchNorm(4),
        LIF(tau=10e-3, dt=1e-3),
        SumPool2d(2),
        Sequential(Flatten(), Linear(4 * 9, 5), IF()),
        LeakyIntegrator(tau=20e-3, dt=1e-3),
    ).eval()


def test_a_whole_network_and_its_means():
    net, x = conv_net(), spikes(12, 3, 2, 6, 6, density=0.5)
    with torch.no_grad():
        hidden = net[:3](x)
        late = net[:5](x)
    seen = traced(net, EventTensor.from_dense(x, 2e-3 / 2))
    assert list(seen.layers) == ["0", "2", "4_1", "4_2", "5"]
    assert (seen.samples, seen.steps, seen.dt) == (3, 12, 1e-3)
    assert seen.input_events == float(x.sum()) / 3
    assert seen.layers["2"].spikes == float(hidden.sum()) / 3 > 0
    assert seen.layers["2"].neurons == 4 * 36 and seen.layers["2"].updates == 4 * 36 * 12
    assert seen.layers["2"].rate == pytest.approx(float(hidden.mean()))
    assert seen.layers["4_1"].synops == float(hidden.sum()) * 5 / 3  # summed pooling loses no spike
    assert seen.layers["4_2"].spikes == float(late.sum()) / 3
    assert seen.layers["5"].spikes == 0 and seen.layers["5"].updates == 60  # a readout sends no spikes
    assert seen.layers["0"].dense_macs == 4 * 36 * 2 * 9  # one pass of the ANN, whatever the number of steps
    assert seen.total("spikes") == seen.layers["2"].spikes + seen.layers["4_2"].spikes
    assert not seen.uncounted


def test_dense_and_event_input_give_the_same_record_and_calls_add_up():
    net, x = conv_net(), spikes(12, 4, 2, 6, 6)
    whole = traced(net, x)
    halves = traced(net, EventTensor.from_dense(x[:, :1], 1e-3), EventTensor.from_dense(x[:, 1:], 1e-3))
    for name, layer in whole.layers.items():
        other = halves.layers[name]
        for count in ("spikes", "synops", "macs", "updates", "dense_macs"):
            assert getattr(layer, count) == pytest.approx(getattr(other, count), rel=1e-12), (name, count)
    assert (whole.samples, whole.steps, whole.input_events) == (
        halves.samples,
        halves.steps,
        halves.input_events,
    )
    longer = traced(net, x, x[:6])
    assert longer.samples == 8 and longer.steps == 9


def test_records_survive_json():
    seen = traced(conv_net(), spikes(5, 2, 2, 6, 6))
    again = Activity.from_dict(json.loads(json.dumps(seen.to_dict())))
    assert again == seen
    assert "4_1" in seen.table()
    with pytest.raises(UserError, match=r"Activity.to_dict"):
        Activity.from_dict({"layers": {"0": {"synopses": 3}}})


def test_modules_that_are_not_counted_are_named():
    assert traced(Sequential(nn.LayerNorm(3), Linear(3, 2)), torch.ones(2, 1, 3)).uncounted == [
        "0 (LayerNorm)"
    ]


def test_hooks_are_gone_afterwards_and_nothing_changes():
    net, x = conv_net(), spikes(5, 2, 2, 6, 6)
    before = net(x)
    with trace(net) as activity:
        assert torch.equal(net(x), before)
    net(x)
    assert activity.samples == 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_scan_step_and_stream_are_refused():
    net = Sequential(Linear(3, 2), LIF(tau=10e-3, dt=1e-3))
    for call in (lambda: net.scan(torch.ones(2, 1, 3)), lambda: Stream(net)(torch.ones(1, 3))):
        with pytest.raises(UserError, match=r"net\(x\)"), trace(net):
            call()
    with pytest.raises(TypeError, match="takes a network"), trace(3):
        pass
    with pytest.raises(UserError, match=r"T B \*N, got \(3,\)"), trace(net):
        net(torch.ones(3))


def test_names_that_would_collide_are_refused():
    from collections import OrderedDict

    inner = Sequential(OrderedDict(b=Linear(2, 2)))
    net = Sequential(OrderedDict([("a", inner), ("a_b", Linear(2, 2))]))
    with pytest.raises(UserError, match="two layers would be called a_b"), trace(net):
        pass


def test_importing_the_record_compiles_nothing():
    code = "import sys, snnkit.activity; sys.exit(int('numba' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_large_counts_are_exact():
    x = torch.ones(1, 1, 5_000_000)  # float32 sums would drop events beyond 2**24
    with trace(nn.Identity()) as activity:
        pass
    assert activity.samples == 0
    net = Sequential(nn.Identity())
    with trace(net) as activity:
        for _ in range(5):
            net(x)
    assert activity.input_events * activity.samples == 25_000_000
    assert np.isclose(activity.steps, 1)
