"""The generated kernel is the plain dense simulator, bit for bit: every rule, storage, precision and neuron."""

import laws
import naive_simulator as naive
import numpy as np
import pytest
import torch
from simulator_cases import BY_NAME, CASES, MS, M, N, T, cell, interpret, poisson, two_ports

from snnkit.events import EventTensor
from snnkit.kernels.simulator import run as simulator_run
from snnkit.kernels.simulator.plan import is_binary
from snnkit.liquid import Liquid, Projection
from snnkit.neurons import IF, LIF, LeakyIntegrator, MultiSpikeIF, TernaryLIF
from snnkit.neurons.stochastic import Chance
from snnkit.plasticity import Rule, Trace, pair_stdp

COMPILED = ("static", "pair", "eligibility", "astrocyte", "facilitating", "everything")


def plastic(liquid):
    return [label for label in liquid.labels if liquid._part(label).plastic]


def agree(liquid, ev, dtype=torch.float32, signals=None, **options):
    """Run the kernel and the twin; both must answer the same bits. Returns the run."""
    run = liquid.run(ev, keep=[f"{k}.w" for k in plastic(liquid)], signals=signals, **options)
    given = {k: torch.as_tensor(v) for k, v in (signals or {}).items()}
    twin = naive.run(liquid, ev, signals=given, dtype=dtype)
    assert torch.equal(run.spikes.dense(dtype), twin.spikes.to(dtype))
    for label in plastic(liquid):
        expected = torch.stack([s.weights(label) for s in twin.samples])
        assert torch.equal(run.final[f"{label}.w"], expected), label
    return run


def rate_hz(run):
    return run.spikes.nnz / (run.spikes.shape[1] * run.spikes.shape[2] * run.spikes.shape[0] * MS)


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_rule_is_its_twin(case, dense, monkeypatch):
    interpret(monkeypatch)
    liquid = case.build(dense=dense)
    run = agree(liquid, poisson(), signals=case.signals(), threads=1)
    assert 5 < rate_hz(run) < 130, "a law that is tried at a mad rate is not tried"
    for label in plastic(liquid) if case.changes else ():
        before, after = liquid._weights(label), run.final[f"{label}.w"]
        assert (after != before).float().mean() > 0.1
        low, high = (after == after.min()).float().mean(), (after == after.max()).float().mean()
        assert low < 0.5 and high < 0.5, "most weights sit at a bound"


@pytest.mark.parametrize("name", ["pair-power", "eligibility", "clopath", "facilitating", "everything"])
def test_double_precision_is_its_twin(name, monkeypatch):
    interpret(monkeypatch)
    case = BY_NAME[name]
    agree(case.build(dtype=torch.float64), poisson(), torch.float64, case.signals(), threads=1)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_it_is_the_same_and_nothing_around_it_matters(name):
    """Threads, neighbours in the batch, their order, cuts in time: not a bit."""
    case, ev = BY_NAME[name], poisson(batch=5)
    liquid = case.build(dense=name == "pair")
    signals = case.signals(batch=5)
    whole = agree(liquid, ev, signals=signals, threads=1)
    again = liquid.run(ev, keep=["v"], signals=signals, threads=3)
    assert again.spikes.equal(whole.spikes)
    order = [3, 0, 4]
    part = {k: v[:, order] for k, v in (signals or {}).items()}
    assert liquid.run(ev.batch(order), signals=part or None, threads=2).spikes.equal(
        whole.spikes.batch(order)
    )
    state, pieces = None, []
    for a, b in ((0, 37), (37, 38), (38, T)):
        cut = {k: v[a:b] for k, v in (signals or {}).items()}
        before = None if state is None else [x.clone() for x in state.neuron]
        piece, after = liquid.scan(ev[a:b], state, signals=cut or None, threads=2)
        assert before is None or all(map(torch.equal, before, state.neuron)), "a state is a value"
        state, pieces = after, [*pieces, piece.dense()]
    assert torch.equal(torch.cat(pieces), whole.spikes.dense())
    assert torch.equal(state.neuron.v, again.final["v"]) and state.step == T
    for label in plastic(liquid):
        w, settle = state.synapses[f"{label}.w"], liquid._part(label).rule.settle
        if settle is None:
            assert torch.equal(w, whole.final[f"{label}.w"])


def test_one_step_at_a_time_is_the_same(monkeypatch):
    interpret(monkeypatch)
    liquid, ev = BY_NAME["pair"].build(), poisson(steps=30)
    state, rows = None, []
    for t in range(30):
        row, state = liquid.step(ev[t], state)
        rows.append(row)
    assert torch.equal(torch.stack(rows), liquid(ev).dense())


def test_output_buffers_grow(monkeypatch):
    interpret(monkeypatch)
    liquid, ev = BY_NAME["static"].build(), poisson(batch=3)
    whole = liquid(ev)
    monkeypatch.setattr(simulator_run, "FIRST", 1)
    assert whole.nnz > 4 * N and liquid.run(ev, threads=2).spikes.equal(whole)


@pytest.mark.parametrize("rule", [None, pair_stdp()], ids=["static", "pair"])
def test_two_ports(rule, monkeypatch):
    interpret(monkeypatch)
    assert 5 < rate_hz(agree(two_ports(rule), poisson(), threads=1)) < 150


@pytest.mark.parametrize(
    "model", [m for m in laws.PER_NEURON if not issubclass(m, Chance)], ids=lambda m: m.__name__
)
def test_every_neuron_runs_in_a_liquid(model, monkeypatch):
    """Three neurons of every model on a sparse drive, graded spikes included."""
    interpret(monkeypatch)
    neuron = laws.Case(model).build(torch.float32)
    gain = 0.9 * laws.GAIN.get(model, 1.0)
    ports = len(neuron.equation.ports)
    inputs = {f"in{k}": Projection.dense(4, 3, w=(0.2 * gain, gain), port=k, seed=k) for k in range(ports)}
    back = Projection.from_matrix(0.1 * gain * (1 - np.eye(3)))
    liquid = Liquid(neuron, inputs, back, dt=MS if neuron.dt is None else None)
    ev = poisson(60, 2, 4, 200.0, dt=liquid.dt) if liquid.dt == MS else None
    if ev is None:
        chance = torch.rand(60, 2, 4, generator=torch.Generator().manual_seed(0))
        ev = EventTensor.from_dense((chance < 0.2).float(), liquid.dt)
    run = agree(liquid, ev, threads=1)
    assert run.spikes.nnz > 0
    assert (run.spikes.values is not None) == (not is_binary(liquid.blueprint.neuron.forward))


def test_graded_input_and_output_compiled():
    value, chance = torch.rand(2, 40, 3, M, generator=torch.Generator().manual_seed(0))
    drive = EventTensor.from_dense(2.0 * value * (chance < 0.2), MS)
    for neuron in (TernaryLIF(tau=10 * MS, dt=MS), MultiSpikeIF(threshold=0.4)):
        liquid = Liquid(
            neuron,
            Projection.dense(M, N, w=(-0.7, 0.7), seed=0),
            Projection.random(N, N, p=0.2, w=0.1, seed=1),
            dt=MS,
        )
        run = agree(liquid, drive, threads=2)
        assert set(run.spikes.values.unique().tolist()) > {1.0}


def test_a_neuron_that_always_sends_is_graded():
    assert not is_binary(_program(LeakyIntegrator(tau=5 * MS, dt=MS)))
    assert is_binary(_program(LIF(tau=5 * MS, dt=MS))) and is_binary(_program(cell()))


def _program(neuron):
    from snnkit.kernels.neurons import operator

    return operator.lookup(neuron._key).forward


# The order of a step --------------------------------------------------------------------------------------------


def one_synapse(rule, *, w=0.5, delay=None):
    """Channel 0 reaches neuron 0 by the synapse looked at; channel 1 makes the neuron fire."""
    synapse = Projection(shape=(2, 1), pre=[0], post=[0], w=[w], rule=rule, delay=delay)
    fire = Projection(shape=(2, 1), pre=[1], post=[0], w=[10.0])
    return Liquid(IF(threshold=5.0, reset="zero"), {"synapse": synapse, "fire": fire}, dt=MS)


def spikes_at(pre, post, steps):
    x = torch.zeros(steps, 1, 2)
    x[pre, 0, 0], x[post, 0, 1] = 1.0, 1.0
    return EventTensor.from_dense(x, MS)


def final_weight(rule, pre, post, steps=6, w=0.5):
    return (
        one_synapse(rule, w=w).run(spikes_at(pre, post, steps), keep=["synapse.w"]).final["synapse.w"].item()
    )


def test_pre_part_then_clip_then_post_part_then_clip(monkeypatch):
    interpret(monkeypatch)
    rule = Rule(on_pre=lambda w: w + 0.4, on_post=lambda w: w - 0.3, bounds=(0.0, 1.0))
    assert final_weight(rule, [2], [2], w=0.9) == pytest.approx(0.7), (
        "summed and clipped once it would be 1.0"
    )


def test_traces_are_read_one_step_old_and_never_in_their_own_step(monkeypatch):
    interpret(monkeypatch)
    rule = Rule(
        traces={"x": Trace("pre", 20 * MS), "y": Trace("post", 20 * MS)},
        on_pre=lambda w, y: w - 0.1 * y,
        on_post=lambda w, x: w + 0.1 * x,
    )
    assert final_weight(rule, [2], [2]) == 0.5
    assert final_weight(rule, [2], [3]) == pytest.approx(0.5 + 0.1 * np.exp(-1 / 20))
    assert final_weight(rule, [3], [2]) == pytest.approx(0.5 - 0.1 * np.exp(-1 / 20))


def test_the_weight_delivered_is_the_one_before_its_update(monkeypatch):
    interpret(monkeypatch)
    rule = Rule(on_pre=lambda w: w - 0.1)
    run = one_synapse(rule).run(spikes_at([1, 3], [], 5), record=["v"])
    assert run.record["v"][:, 0, 0].tolist() == pytest.approx([0.0, 0.5, 0.5, 0.9, 0.9])


def test_delays_count_in_steps_and_an_input_may_have_none(monkeypatch):
    interpret(monkeypatch)
    for steps in (0, 1, 3):
        run = one_synapse(None, delay=[steps * MS]).run(spikes_at([1], [], 6), record=["v"])
        assert run.record["v"][:, 0, 0].tolist() == [0.5 * (t >= 1 + steps) for t in range(6)]


def test_a_rule_of_zero_rates_is_the_static_liquid_and_so_is_a_frozen_one():
    ev = poisson(batch=3)
    still = BY_NAME["static"].build().run(ev).spikes
    liquid = BY_NAME["pair"].build()
    assert not liquid(ev).equal(still)
    assert liquid.with_constants({"ap": 0.0, "am": 0.0})(ev).equal(still)
    assert liquid.frozen()(ev).equal(still)
    tuned = liquid.learn(ev)
    assert tuned.frozen().projection("recurrent").w.tolist() == tuned.projection("recurrent").w.tolist()


def test_the_frozen_synapses_still_tire():
    ev, case = poisson(batch=2), BY_NAME["facilitating"]
    liquid = case.build()
    assert liquid.frozen()(ev).equal(liquid(ev))
