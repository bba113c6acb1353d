"""The integer model of Xylo against a twin in Python's own integers, spike by spike."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hardware_cases import dense
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.errors import UserError
from snnkit.hardware import DoesNotFit, UnsupportedGraph, deploy
from snnkit.hardware.xylo import XyloLayer, dash, leak, run_xylo, specification, xylo_layers


def naive_xylo(spec, x):
    """Output counts of the whole chip from its specification; x: T N_in lists."""
    sat = lambda n: max(-32768, min(32767, n))

    def d(value, by):
        return (value >> by) or (value > 0) - (value < 0)

    n_hidden, n_out = len(spec["threshold"]), len(spec["threshold_out"])
    i_hid, v_hid, i_out, v_out = [0] * n_hidden, [0] * n_hidden, [0] * n_out, [0] * n_out
    before, out = [0] * n_hidden, []

    def neuron(i, v, synaptic, weight, shift, dash_syn, dash_mem, bias, threshold, most):
        for count, w in zip(synaptic, weight, strict=True):
            for _ in range(count):
                i = sat(i + (w << shift))
        i -= d(i, dash_syn)
        v = sat(v + sat(i + bias - d(v, dash_mem)))
        n = 0
        while v >= threshold and n < most:
            n, v = n + 1, v - threshold
        return i, v, n

    for row in x:
        fired = []
        for n in range(n_hidden):
            counts = [min(c, 15) for c in row] + before
            shifts = (spec["weight_shift_in"], spec["weight_shift_rec"])
            weights = [w[n] << shifts[0] for w in spec["weights_in"]] + [
                w[n] << shifts[1] for w in spec["weights_rec"]
            ]
            numbers = (spec["dash_syn"][n], spec["dash_mem"][n], spec["bias"][n], spec["threshold"][n], 31)
            i_hid[n], v_hid[n], k = neuron(i_hid[n], v_hid[n], counts, weights, 0, *numbers)
            fired.append(k)
        answer = []
        for n in range(n_out):
            weights = [w[n] for w in spec["weights_out"]]
            numbers = (
                spec["dash_syn_out"][n],
                spec["dash_mem_out"][n],
                spec["bias_out"][n],
                spec["threshold_out"][n],
                1,
            )
            i_out[n], v_out[n], k = neuron(
                i_out[n], v_out[n], before, weights, spec["weight_shift_out"], *numbers
            )
            answer.append(k)
        before = fired
        out.append(answer)
    return out


def random_layers(rng, sizes, loud):
    """Layers of random integers; the recurrent block shares one shift."""
    found, shift = [], [int(s) for s in rng.integers(0, 6 if loud else 3, 3)]
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        found.append(
            XyloLayer(
                name=str(i),
                weight=torch.as_tensor(rng.integers(-127, 128, (n_in, n_out))),
                shift=shift[0 if i == 0 else 2 if last else 1],
                bias=torch.as_tensor(rng.integers(-50, 50, n_out)),
                threshold=torch.as_tensor(rng.integers(50, 600, n_out)),
                dash_syn=int(rng.integers(1, 5)),
                dash_mem=int(rng.integers(1, 6)),
                most=1 if last else 31,
            )
        )
    return found


@given(st.integers(0, 10_000), st.sampled_from([(5, 6, 3), (4, 5, 6, 3)]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_layers_equal_the_naive_twin(seed, sizes, loud):
    rng = np.random.default_rng(seed)
    layers = random_layers(rng, sizes, loud)
    x = torch.as_tensor(rng.integers(0, 20 if loud else 3, (12, 2, sizes[0])))
    got, _ = run_xylo(layers, x)
    spec = specification(layers, 1e-3)
    padded = torch.cat([x, torch.zeros(len(layers) - 1, 2, sizes[0], dtype=torch.int64)])
    for b in range(2):
        assert got[-1][:, b].tolist() == naive_xylo(spec, padded[:, b].tolist())


def test_leak_always_moves_towards_zero():
    x = torch.tensor([-9, -1, 0, 1, 3, 9])
    assert leak(x, 2).tolist() == [-3, -1, 0, 1, 1, 2]
    assert dash(0.75, "d", []) == 2 and dash(0.0, "d", []) == 1


def test_a_deployment_agrees_with_the_float_network(tmp_path):
    net = dense(
        [16, 60, 40, 8],
        scale=0.08,
        kind="CubaLIF",
        a=1 - 1 / 16,
        decay_syn=0.75,
        reset="subtract",
        compare=">=",
    )
    x = (torch.rand(80, 10, 16, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    done = deploy(net, "xylo", tmp_path / "xylo", vectors=x, labels=torch.zeros(10))
    assert done.files == ["README.md", "network.nir", "report.json", "vectors.npz", "xylo.json"]
    rows = list(done.report["layers"].values())
    assert rows[0]["identical_bins"] > 0.96 and all(0.9 < r["count_ratio"] < 1.1 for r in rows)
    assert rows[0]["float_rate"] > 0.02
    spec, vectors = json.loads((done.folder / "xylo.json").read_text()), np.load(done.folder / "vectors.npz")
    steps = int(vectors["steps"])
    x0, wanted = np.zeros((steps, 16), dtype=int), np.zeros((steps, 8), dtype=int)
    mine = vectors["input_b"] == 0
    x0[vectors["input_t"][mine], vectors["input_i"][mine]] = vectors["input_v"][mine]
    mine = vectors["2_spikes_b"] == 0
    wanted[vectors["2_spikes_t"][mine], vectors["2_spikes_i"][mine]] = vectors["2_spikes_v"][mine]
    assert naive_xylo(spec, x0.tolist()) == wanted.tolist() and wanted.sum() > 0


def test_what_xylo_cannot_hold_is_said(tmp_path):
    with pytest.raises(DoesNotFit, match="input channels 40, limit 16"):
        xylo_layers(dense([40, 20, 5], kind="CubaLIF", decay_syn=0.5))
    with pytest.raises(UnsupportedGraph, match=r"1 is LIF; 3 is LIF\. Train with CubaLIF"):
        xylo_layers(dense([10, 20, 5]))
    with pytest.raises(UserError, match="encode analog input"):
        deploy(
            dense([4, 5, 2], kind="CubaLIF", decay_syn=0.5),
            "xylo",
            tmp_path / "x",
            vectors=torch.rand(3, 1, 4),
        )
    _, notes, _ = xylo_layers(dense([10, 20, 5], kind="CubaLIF", decay_syn=0.62))
    assert any("0.620 becomes 0.500" in n or "0.620 becomes 0.750" in n for n in notes)
    assert any("resets by 'zero'" in n for n in notes) and list(tmp_path.iterdir()) == []
