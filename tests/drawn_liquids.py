"""Liquids drawn by chance: wiring, delays, ports, storage, rules."""

import numpy as np
from hypothesis import strategies as st
from simulator_cases import MS

from snnkit.liquid import Liquid, Projection


@st.composite
def projections(draw, n_pre, n_post, ports, back, rules, longest):
    """Delays of up to `longest` steps, one for all or one for each synapse."""
    seed = draw(st.integers(0, 10**6))
    p = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    made = Projection.random(n_pre, n_post, p=p, w=lambda g, n: g.normal(0.15, 0.3, n), seed=seed)
    latest = draw(st.integers(int(back), longest))
    g = np.random.default_rng(seed)
    one = draw(st.booleans())
    delay = np.full(len(made), latest) if one else g.integers(int(back), latest + 1, len(made))
    port = draw(st.integers(0, ports - 1)) if one else g.integers(0, ports, len(made))
    return made.replaced(delay=delay * MS, port=port, rule=draw(st.sampled_from(rules)))


@st.composite
def liquids(draw, neurons, rules, *, channels=9, size=20, longest=5):
    """Up to so many channels and neurons, with up to two projections from the input and two back."""
    neuron = draw(st.sampled_from(neurons))
    ports = len(neuron.equation.ports)
    M, N = draw(st.integers(1, channels)), draw(st.integers(1, size))
    parts = [{}, {}]
    for back in (False, True):
        for k in range(draw(st.integers(0 if back else 1, 2))):
            parts[back][f"{'back' if back else 'drive'}{k}"] = draw(
                projections(N if back else M, N, ports, back, rules, longest)
            )
    return Liquid(neuron, *parts, dense=draw(st.sampled_from([None, False])))
