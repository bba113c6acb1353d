"""Liquids drawn by chance against the plain simulator: structure, delays, ports, storage, rules, graded input."""

import naive_simulator as naive
import pytest
import torch
from drawn_liquids import liquids
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import MS, interpret

from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection
from snnkit.neurons import LIF, CubaLIF, Refractory, TwoPoint
from snnkit.plasticity import anti_hebbian_stdp, diehl_cook_stdp, pair_stdp, short_term, triplet_stdp

RULES = [
    None,
    None,
    pair_stdp(),
    triplet_stdp(),
    diehl_cook_stdp(),
    anti_hebbian_stdp(),
    short_term(U=0.6, tau_rec=0.05),
]
NEURONS = [
    LIF(tau=20 * MS, dt=MS),
    CubaLIF(tau_mem=15 * MS, tau_syn=4 * MS, dt=MS),
    Refractory(LIF(tau=9 * MS, dt=MS, reset="zero"), t_ref=2 * MS),
    TwoPoint(tau=20 * MS, dt=MS),
]


def test_rows_longer_than_a_block_and_late_arrivals_compiled():
    """A compiled run of hundreds of neurons, long delays, and more steps than the ring has slots."""
    liquid = Liquid(
        LIF(tau=20 * MS, dt=MS, reset="zero"),
        Projection.random(50, 200, p=0.2, w=(0.0, 0.4), seed=0),
        Projection.random(200, 200, p=0.05, w=(0.0, 0.1), delay=(1 * MS, 30 * MS), rule=pair_stdp(), seed=1),
    )
    ev = EventTensor.from_dense(
        (torch.rand(90, 1, 50, generator=torch.Generator().manual_seed(0)) < 0.05).float(), MS
    )
    run, twin = liquid.run(ev, keep=["recurrent.w"], threads=2), naive.run(liquid, ev)
    assert torch.equal(run.spikes.dense(), twin.spikes) and run.spikes.nnz > 200
    assert torch.equal(run.final["recurrent.w"][0], twin.samples[0].weights("recurrent"))


@pytest.fixture(scope="module")
def interpreted():
    with pytest.MonkeyPatch.context() as patch:
        interpret(patch)
        yield


@pytest.mark.usefixtures("interpreted")
@given(liquids(NEURONS, RULES), st.integers(0, 10**6), st.booleans(), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_any_liquid_is_its_twin_in_one_piece_or_two(liquid, seed, graded, cut):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(12, 2, liquid.M, generator=g) < 0.3).float()
    x = x * torch.rand(x.shape, generator=g) * 2 if graded else x
    ev = EventTensor.from_dense(x, MS)
    keep = [f"{k}.w" for k in liquid.labels if liquid._part(k).plastic]
    run = liquid.run(ev, keep=keep, threads=2)
    twin = naive.run(liquid, ev)
    assert torch.equal(run.spikes.dense(), twin.spikes)
    for name in keep:
        expected = torch.stack([s.weights(name.removesuffix(".w")) for s in twin.samples])
        assert torch.equal(run.final[name], expected)
    first, state = liquid.scan(ev[:cut])
    last, state = liquid.scan(ev[cut:], state)
    assert torch.equal(torch.cat([first.dense(), last.dense()]), twin.spikes)
    for name in keep:
        assert torch.equal(state.synapses[name], run.final[name])
