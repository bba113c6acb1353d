"""Rules that pair spikes where they arrive: against a plain simulator with a trace in every synapse, and against theory."""

import copy
import math
from dataclasses import replace

import naive_arrival as naive
import numpy as np
import pytest
import torch
from drawn_liquids import liquids
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import BY_NAME, CASES, MS, M, N, cell, interpret, poisson

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection, load, save
from snnkit.neurons import IF, LIF, CubaLIF, MultiSpikeIF, TwoPoint
from snnkit.plasticity import (
    Rule,
    Trace,
    astrocyte,
    clocked_eligibility_stdp,
    diehl_cook_stdp,
    dopamine,
    eligibility_stdp,
    pair_stdp,
    register,
    reward_stdp,
    short_term,
    triplet_stdp,
)

PLASTIC = [case for case in CASES if case.rule is not None]


def late(rule):
    return rule and replace(rule, pairing="arrival")


def build(case, dense=False, dtype=torch.float32, rule=late):
    """The liquid of a case with delays of 0 to 10 steps from the input, and of 1 to 10 between neurons."""
    w_in, w_rec = case.options.get("w", ((0.0, 0.35), (0.0, 0.2)))
    drive = {"w": w_in, "rule": rule(case.options.get("input_rule", case.rule)), "seed": 1}
    back = {"w": tuple(0.15 * w for w in w_rec) if dense else w_rec, "rule": rule(case.rule), "seed": 2}
    if dense:
        inputs = Projection.dense(M, N, delay=3 * MS, **drive)
        recurrent = Projection.dense(N, N, delay=2 * MS, **back)
    else:
        steps = lambda low: lambda g, n: g.integers(low, 11, n) * MS
        inputs = Projection.random(M, N, p=0.9, delay=steps(0), **drive)
        sign = case.options.get("inhibitory")
        recurrent = Projection.random(N, N, p=0.3, delay=steps(1), inhibitory=sign, **back)
    neuron = (case.neuron or cell)()
    return Liquid(neuron, inputs, recurrent, case.modulators).to(dtype)


def plastic(liquid):
    return [label for label in liquid.labels if liquid._part(label).plastic]


def agree(liquid, ev, dtype=torch.float32, signals=None, **options):
    """Kernel and twin answer the same bits; the run."""
    run = liquid.run(ev, keep=[f"{k}.w" for k in plastic(liquid)], signals=signals, **options)
    told = {k: torch.as_tensor(v) for k, v in (signals or {}).items()}
    spikes, samples = naive.run(liquid, ev, signals=told, dtype=dtype)
    assert torch.equal(run.spikes.dense(dtype), spikes.to(dtype))
    for label in plastic(liquid):
        assert torch.equal(run.final[f"{label}.w"], torch.stack([s.weights(label) for s in samples])), label
    return run


# The plain simulator ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("case", PLASTIC, ids=str)
def test_every_rule_is_its_twin(case, dense, monkeypatch):
    interpret(monkeypatch)
    liquid, signals = build(case, dense), case.signals(50, 1)
    run = agree(liquid, poisson(50, 1), signals=signals, threads=1)
    assert 4 < run.spikes.nnz / (N * 50 * MS) < 150, "a law that is tried at a mad rate is not tried"
    if case.changes:
        left = build(case, dense, rule=lambda rule: rule)
        other = left.run(poisson(50, 1), keep=["recurrent.w"], signals=signals)
        assert not torch.equal(other.final["recurrent.w"], run.final["recurrent.w"]), "pairing says nothing"


@pytest.mark.parametrize("name", ["pair-nearest", "triplet", "eligibility", "clopath", "everything"])
def test_double_precision_is_its_twin(name, monkeypatch):
    interpret(monkeypatch)
    case = BY_NAME[name]
    agree(
        build(case, dtype=torch.float64),
        poisson(50, 1),
        torch.float64,
        case.signals(50, 1),
        threads=1,
    )


def test_a_trace_that_follows_the_pre_neuron_is_as_late_as_its_spikes(monkeypatch):
    interpret(monkeypatch)
    rule = Rule(
        traces={"y": Trace("post", 20 * MS), "u": Trace("pre", 9 * MS, of="v")},
        on_pre=lambda w, u, y: w - 0.01 * u * y,
        on_post=lambda w, u: w + 0.01 * u,
        bounds=(0.0, 1.0),
        pairing="arrival",
    )
    recurrent = Projection.random(
        N, N, p=0.3, w=(0.0, 0.2), delay=lambda g, n: g.integers(1, 11, n) * MS, rule=rule, seed=2
    )
    agree(Liquid(cell(), Projection.dense(M, N, w=(0.0, 0.35), seed=1), recurrent), poisson(50, 1), threads=1)


@pytest.mark.parametrize("name", ["pair", "eligibility", "astrocyte", "everything"])
def test_compiled_it_is_the_same_and_nothing_around_it_matters(name):
    """Threads, neighbours in the batch, their order, cuts in time: not a bit."""
    case, ev = BY_NAME[name], poisson(60, 3)
    liquid, signals = build(case, dense=name == "astrocyte"), case.signals(60, 3)
    whole = agree(liquid, ev, signals=signals, threads=1)
    assert whole.spikes.nnz > 40
    keep = [f"{k}.w" for k in plastic(liquid)]
    again = liquid.run(ev, keep=["v", *keep], signals=signals, threads=3)
    assert again.spikes.equal(whole.spikes)
    assert all(torch.equal(again.final[k], whole.final[k]) for k in keep)
    order = [2, 0]
    part = {k: v[:, order] for k, v in (signals or {}).items()}
    mine = liquid.run(ev.batch(order), signals=part or None, threads=2)
    assert mine.spikes.equal(whole.spikes.batch(order))
    state, pieces = None, []
    for a, b in ((0, 37), (37, 38), (38, 60)):
        cut = {k: v[a:b] for k, v in (signals or {}).items()}
        before = None if state is None else {k: x.clone() for k, x in state.past.items()}
        piece, after = liquid.scan(ev[a:b], state, signals=cut or None, threads=2)
        assert before is None or all(torch.equal(before[k], state.past[k]) for k in before), (
            "a state is a value"
        )
        state, pieces = after, [*pieces, piece.dense()]
    assert torch.equal(torch.cat(pieces), whole.spikes.dense())
    assert torch.equal(state.neuron.v, again.final["v"])
    for label in plastic(liquid):
        if liquid._part(label).rule.settle is None:
            assert torch.equal(state.synapses[f"{label}.w"], whole.final[f"{label}.w"])


def test_graded_spikes_arrive_with_their_values():
    value, chance = torch.rand(2, 40, 2, M, generator=torch.Generator().manual_seed(0))
    drive = EventTensor.from_dense(2.0 * value * (chance < 0.2), MS)
    rule = short_term(U=0.6, tau_rec=20 * MS, pairing="arrival")
    delay = lambda g, n: g.integers(1, 8, n) * MS
    liquid = Liquid(
        MultiSpikeIF(threshold=0.4),
        Projection.dense(M, N, w=(-0.7, 0.7), delay=2 * MS, rule=pair_stdp(pairing="arrival"), seed=0),
        Projection.random(N, N, p=0.2, w=0.1, delay=delay, rule=rule, seed=1),
        dt=MS,
    )
    assert set(agree(liquid, drive, threads=2).spikes.values.unique().tolist()) > {1.0}


RULES = [
    None,
    pair_stdp(),
    pair_stdp(pairing="arrival"),
    pair_stdp(nearest=True, pairing="arrival"),
    pair_stdp(mu=1.0, pairing="arrival"),
    triplet_stdp(pairing="arrival"),
    triplet_stdp(nearest=True, pairing="arrival"),
    diehl_cook_stdp(pairing="arrival"),
    short_term(U=0.4, tau_rec=20 * MS, tau_facil=30 * MS, pairing="arrival"),
]
NEURONS = [
    LIF(tau=20 * MS, dt=MS),
    CubaLIF(tau_mem=15 * MS, tau_syn=4 * MS, dt=MS),
    TwoPoint(tau=20 * MS, dt=MS),
]


@given(
    liquids(NEURONS, RULES, channels=7, size=14, longest=10),
    st.integers(0, 10**6),
    st.booleans(),
    st.integers(0, 25),
)
@settings(max_examples=25, deadline=None)
def test_any_liquid_is_its_twin_in_one_piece_or_two(liquid, seed, graded, cut):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(25, 2, liquid.M, generator=g) < 0.25).float()
    x = x * torch.rand(x.shape, generator=g) * 2 if graded else x
    ev = EventTensor.from_dense(x, MS)
    with pytest.MonkeyPatch.context() as patch:
        interpret(patch)
        run = agree(liquid, ev, threads=2)
        first, state = liquid.scan(ev[:cut])
        last, state = liquid.scan(ev[cut:], state)
    assert torch.equal(torch.cat([first.dense(), last.dense()]), run.spikes.dense())
    for name, w in run.final.items():
        assert torch.equal(state.synapses[name], w)


# Theory --------------------------------------------------------------------------------------------------------


def one_synapse(rule, delay, *, w=0.5, modulators=None):
    """Channel 0 reaches neuron 0 by the synapse looked at; channel 1 makes the neuron fire."""
    synapse = Projection(shape=(2, 1), pre=[0], post=[0], w=[w], rule=rule, delay=[delay * MS])
    fire = Projection(shape=(2, 1), pre=[1], post=[0], w=[10.0])
    return Liquid(
        IF(threshold=5.0, reset="zero"), {"synapse": synapse, "fire": fire}, modulators=modulators, dt=MS
    ).double()


def spikes_at(pre, post, steps=40):
    x = torch.zeros(steps, 1, 2)
    x[pre, 0, 0], x[post, 0, 1] = 1.0, 1.0
    return EventTensor.from_dense(x, MS)


@pytest.mark.parametrize("delay", [0, 1, 4, 10])
def test_the_window_moves_by_the_delay(delay, monkeypatch):
    """dw is f(t_post - t_pre - d) on arrival, f(t_post - t_pre) on departure, f the window without delay."""
    interpret(monkeypatch)

    def window(apart, d, pairing):
        rule = pair_stdp(a_plus=0.03, a_minus=0.02, tau_minus=10 * MS, pairing=pairing)
        pre, post = max(0, -apart), max(0, apart)
        run = one_synapse(rule, d).run(spikes_at([pre], [post]), keep=["synapse.w"])
        return run.final["synapse.w"].item() - 0.5

    for apart in range(-15, 16, 3):
        since = apart - delay
        due = 0.03 * math.exp(-since / 20) if since > 0 else -0.02 * math.exp(since / 10) * (since < 0)
        assert window(apart, delay, "arrival") == pytest.approx(due, abs=1e-12)
        assert window(apart, delay, "departure") == pytest.approx(window(apart, 0, "departure"), abs=1e-12)


@pytest.mark.parametrize("rule", [pair_stdp, triplet_stdp, diehl_cook_stdp], ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_one_delay_for_all_is_the_input_that_much_later(rule, steps, monkeypatch):
    """A common delay before the synapses that pair on arrival is a delay of the input itself."""
    interpret(monkeypatch)
    ev = poisson(70, 2)
    later = torch.cat([torch.zeros(steps, 2, M), ev.dense()[: 70 - steps]])
    back = Projection.random(N, N, p=0.3, w=(0.0, 0.2), delay=(1 * MS, 5 * MS), seed=2)
    for dense in (None, False):
        made = lambda delay, pairing: Liquid(
            cell(),
            Projection.dense(M, N, w=(0.0, 0.35), rule=rule(pairing=pairing), delay=delay, seed=1),
            back,
            dense=dense,  # noqa: B023
        )
        mine = made(steps * MS, "arrival").run(ev, keep=["inputs.w"])
        theirs = made(0.0, "departure").run(EventTensor.from_dense(later, MS), keep=["inputs.w"])
        assert mine.spikes.nnz > 20 and mine.spikes.equal(theirs.spikes)
        assert torch.equal(mine.final["inputs.w"], theirs.final["inputs.w"])


def test_between_neurons_the_window_moves_too(monkeypatch):
    """Neuron 0 fires in step 3, neuron 1 in step 8; a spike needs d steps from one to the other."""
    interpret(monkeypatch)
    rule = {k: pair_stdp(pairing=k) for k in ("arrival", "departure")}
    drive = Projection(shape=(2, 2), pre=[0, 1], post=[0, 1], w=[2.0, 2.0])
    x = torch.zeros(30, 1, 2)
    x[3, 0, 0] = x[8, 0, 1] = 1.0
    changes = {}
    for pairing, one in rule.items():
        for d in (2, 5, 9):
            back = Projection(shape=(2, 2), pre=[0], post=[1], w=[0.5], delay=[d * MS], rule=one)
            liquid = Liquid(IF(threshold=1.5, reset="zero"), drive, back, dt=MS).double()
            run = liquid.run(EventTensor.from_dense(x, MS), keep=["recurrent.w"])
            assert run.spikes.dense().nonzero().tolist() == [[3, 0, 0], [8, 0, 1]]
            changes[pairing, d] = run.final["recurrent.w"].item() - 0.5
    for d in (2, 5, 9):
        assert changes["departure", d] == pytest.approx(0.01 * math.exp(-5 / 20))
    assert changes["arrival", 2] == pytest.approx(0.01 * math.exp(-3 / 20))
    assert changes["arrival", 5] == 0.0, "a pair in one step"
    assert changes["arrival", 9] == pytest.approx(-0.0105 * math.exp(-4 / 20))


def test_without_delays_both_are_the_same(monkeypatch):
    interpret(monkeypatch)
    made = lambda pairing: Liquid(
        cell(), Projection.random(M, N, p=0.6, w=(0.0, 0.5), rule=pair_stdp(pairing=pairing), seed=1)
    )
    runs = [made(pairing).run(poisson(), keep=["inputs.w"]) for pairing in ("arrival", "departure")]
    assert runs[0].spikes.equal(runs[1].spikes) and runs[0].spikes.nnz > 20
    assert torch.equal(runs[0].final["inputs.w"], runs[1].final["inputs.w"])


def test_the_weight_delivered_is_that_of_the_arrival(monkeypatch):
    """A post spike while the other is on its way; before its own update."""
    interpret(monkeypatch)
    rule = Rule(on_post=lambda w: w + 0.25, on_pre=lambda w: w - 0.125)
    amounts = {}
    for pairing in ("departure", "arrival"):
        liquid = one_synapse(replace(rule, pairing=pairing), 5)
        v = liquid.run(spikes_at([1], [3]), record=["v"]).record["v"][:, 0, 0]
        amounts[pairing] = v[6].item()
        assert (v[3:6] == 0).all()
    assert amounts == {"departure": 0.5, "arrival": 0.75}


def test_a_rule_of_zero_rates_is_the_static_liquid(monkeypatch):
    interpret(monkeypatch)
    ev, case = poisson(), BY_NAME["pair"]
    made = lambda rule: Liquid(
        cell(),
        Projection.dense(M, N, w=(0.0, 0.35), seed=1),
        Projection.random(N, N, p=0.3, w=(0.0, 0.2), delay=(1 * MS, 10 * MS), rule=rule, seed=2),
    )
    still = made(None)(ev)
    liquid = made(late(case.rule))
    assert not liquid(ev).equal(still)
    assert liquid.with_constants({"ap": 0.0, "am": 0.0})(ev).equal(still)
    assert liquid.frozen()(ev).equal(still)


# A third factor --------------------------------------------------------------------------------------------------


def test_reward_counts_when_the_spike_arrives(monkeypatch):
    """MSTDP, post in step 3, pre leaves in step 5 and arrives in step 9: the pair is made, and rewarded, in step 9."""
    interpret(monkeypatch)
    for pairing, due, apart in (("departure", 5, 2), ("arrival", 9, 6)):
        liquid = one_synapse(reward_stdp(pairing=pairing), 4)
        for step in range(3, 12):
            reward = np.zeros(40)
            reward[step] = 1.0
            run = liquid.run(spikes_at([5], [3]), keep=["synapse.w"], signals={"reward": reward})
            change = run.final["synapse.w"].item() - 0.5
            assert change == pytest.approx(-0.01 * math.exp(-apart / 20) if step == due else 0.0, abs=1e-12)


def test_eligibility_is_marked_on_arrival_and_taught_by_later_reward(monkeypatch):
    """Pre leaves in step 2, post fires in step 5: with a delay of 6 steps the mark is that of post before pre."""
    interpret(monkeypatch)
    reward = np.zeros(40)
    reward[20] = 1.0
    changes = {}
    for pairing in ("departure", "arrival"):
        for made in (eligibility_stdp, clocked_eligibility_stdp):
            liquid = one_synapse(made(pairing=pairing), 6, modulators=dopamine())
            run = liquid.run(spikes_at([2], [5]), keep=["synapse.w"], signals={"reward": reward})
            changes[pairing, made.__name__] = run.final["synapse.w"].item() - 0.5
    assert changes["departure", "eligibility_stdp"] > 1e-5 and changes["arrival", "eligibility_stdp"] < -1e-5
    for pairing in ("departure", "arrival"):
        a, b = (changes[pairing, made.__name__] for made in (eligibility_stdp, clocked_eligibility_stdp))
        assert a == pytest.approx(b, rel=1e-9)


def test_frames_of_eligibility_are_the_clocked_rule(monkeypatch):
    interpret(monkeypatch)
    case, reward = BY_NAME["eligibility"], BY_NAME["eligibility"].signals()
    clocked = BY_NAME["eligibility-clocked"]
    final = [
        build(c, dtype=torch.float64).run(poisson(), keep=["recurrent.w"], signals=reward)
        for c in (case, clocked)
    ]
    assert final[0].spikes.equal(final[1].spikes)
    torch.testing.assert_close(
        final[0].final["recurrent.w"], final[1].final["recurrent.w"], rtol=0, atol=1e-9
    )


# Around it -------------------------------------------------------------------------------------------------------


def test_learning_carries_weights_and_nothing_that_is_on_its_way(monkeypatch):
    interpret(monkeypatch)
    liquid, ev = build(BY_NAME["pair"]), poisson(40, 3)
    tuned, step = liquid.learn(ev), liquid
    for b in range(3):
        run = step.run(ev.batch(slice(b, b + 1)), keep=["inputs.w", "recurrent.w"])
        step = step.with_weights(inputs=run.final["inputs.w"][0], recurrent=run.final["recurrent.w"][0])
    for label in liquid.labels:
        assert torch.equal(tuned._weights(label), step._weights(label))


@register
def paired_on_arrival(*, gain: float = 0.1) -> Rule:
    return Rule(
        traces={"x": Trace("pre", 5 * MS)},
        on_post=lambda w, x, gain: w + gain * x,
        const={"gain": gain},
        pairing="arrival",
    )


def test_files_copies_and_processes_keep_the_pairing(tmp_path, monkeypatch):
    interpret(monkeypatch)
    rules = {
        "a": pair_stdp(pairing="arrival"),
        "b": replace(pair_stdp(mu=1.0), pairing="arrival"),
        "c": paired_on_arrival(),
        "d": replace(paired_on_arrival(), pairing="departure"),
        "e": pair_stdp(),
    }
    make = lambda k, rule: Projection.random(
        M, N, p=0.2, w=(0.0, 0.4), delay=(0.0, 5 * MS), rule=rule, seed=ord(k)
    )
    liquid = Liquid(cell(), {k: make(k, rule) for k, rule in rules.items()})
    save(liquid, tmp_path / "liquid.safetensors")
    ev = poisson(40, 1)
    keep = [f"{k}.w" for k in rules]
    run = liquid.run(ev, keep=keep)
    for other in (
        load(tmp_path / "liquid.safetensors"),
        copy.deepcopy(liquid),
    ):
        pairings = [other.projection(k).rule.pairing for k in rules]
        assert pairings == ["arrival", "arrival", "arrival", "departure", "departure"]
        again = other.run(ev, keep=keep)
        assert again.spikes.equal(run.spikes) and all(torch.equal(again.final[k], run.final[k]) for k in keep)


def test_what_makes_no_sense_is_told():
    for make in (lambda: pair_stdp(pairing="axon"), lambda: Rule(pairing="late")):
        with pytest.raises(UserError, match='pairing="departure" or pairing="arrival"'):
            make()
    with pytest.raises(UserError, match="to the rule beside it"):
        astrocyte(pairing="arrival")
    case = BY_NAME["pair"]
    _, state = build(case, rule=lambda rule: rule).scan(poisson(5))
    with pytest.raises(UserError, match="pairs otherwise"):
        build(case).scan(poisson(5), state)
    _, state = build(case).scan(poisson(5))
    with pytest.raises(UserError, match="pairs otherwise"):
        build(case, rule=lambda rule: rule).scan(poisson(5), state)
    with pytest.raises(UserError, match="of another batch"):
        build(case).scan(poisson(5, batch=3), state)
