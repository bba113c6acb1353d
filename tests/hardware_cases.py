"""Small NIR graphs and hand-made activities for the hardware tests."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np

from snnkit.activity import Activity, LayerActivity


def io(shape, out):
    return nir.Input({"input": np.array(shape)}), nir.Output({"output": np.array(out)})


def lif(shape, a=0.9, threshold=1.0, kind="LIF", reset="zero", compare=">", dt=1e-3, **meta):
    """A neuron node as snnkit writes it: Euler fields that mean u = a·v + x, and the exact metadata."""
    one = np.ones(shape, dtype=np.float32)
    meta = {"snnkit_kind": kind, "dt": dt, "reset": reset, "compare": compare, **meta}
    if kind == "IF":
        return nir.IF(r=one / dt, v_threshold=threshold * one, v_reset=0 * one, metadata=meta)
    tau = dt / (1 - a)
    meta["decay"] = a
    if kind == "LI":
        return nir.LI(tau=tau * one, r=tau / dt * one, v_leak=0 * one, metadata=meta)
    common = {"v_leak": 0 * one, "v_threshold": threshold * one, "v_reset": 0 * one, "metadata": meta}
    if kind == "CubaLIF":
        tau_syn = dt / (1 - meta["decay_syn"])
        w_in = tau_syn / dt * one
        return nir.CubaLIF(tau_syn=tau_syn * one, tau_mem=tau * one, r=tau / dt * one, w_in=w_in, **common)
    return nir.LIF(tau=tau * one, r=tau / dt * one, **common)


def conv(weight, shape, stride=1, padding=0, groups=1, bias=None):
    bias = np.zeros(len(weight), dtype=np.float32) if bias is None else bias
    return nir.Conv2d(shape, weight.astype(np.float32), stride, padding, 1, groups, bias)


def graph(shape, out, *nodes):
    """A straight line Input -> nodes "0", "1", ... -> Output."""
    first, last = io(shape, out)
    names = ["input", *map(str, range(len(nodes))), "output"]
    return nir.NIRGraph(
        dict(zip(names, [first, *nodes, last], strict=True)),
        list(pairwise(names)),
        type_check=False,
    )


def dense(sizes, seed=0, scale=0.06, kind="LIF", bias=False, **neuron):
    """Fully connected layers with neurons: sizes 390, 256, 29 give nodes 0 (Affine), 1 (LIF), 2, 3."""
    rng, nodes = np.random.default_rng(seed), []
    for n_in, n_out in pairwise(sizes):
        weight = rng.normal(0, scale, (n_out, n_in)).astype(np.float32)
        add = rng.normal(0, scale, n_out).astype(np.float32) if bias else np.zeros(n_out, dtype=np.float32)
        nodes += [nir.Affine(weight, add), lif((n_out,), kind=kind, **neuron)]
    return graph((sizes[0],), (sizes[-1],), *nodes)


def activity_of(net, steps, input_events=0.0, spikes=None, synops=None, macs=None, dt=1e-3):
    """An activity with every layer of `net`; counts by node name, the rest zero."""
    found = Activity(samples=1, steps=steps, input_events=input_events, dt=dt)
    for name, node in net.nodes.items():
        kind = type(node).__name__
        if kind in ("Input", "Output"):
            continue
        neurons = int(np.prod(node.v_threshold.shape)) if hasattr(node, "v_threshold") else 0
        found.layers[name] = LayerActivity(
            name=name,
            kind=kind,
            neurons=neurons,
            updates=float(neurons * steps),
            spikes=(spikes or {}).get(name, 0.0),
            synops=(synops or {}).get(name, 0.0),
            macs=(macs or {}).get(name, 0.0),
            dense_macs=float(node.weight.size) if hasattr(node, "weight") else 0.0,
        )
    return found
