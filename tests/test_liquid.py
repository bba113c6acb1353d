"""Liquids as users meet them: wiring, learning, streams, records, files, and mistakes."""

import copy
import json
import math
import pickle  # noqa: TID251 (what worker processes use)

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import BY_NAME, MS, B, M, N, T, cell, interpret, poisson

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers import Linear, Sequential
from snnkit.liquid import Liquid, Projection, load, save
from snnkit.neurons import LIF, AdaptiveLIF, CubaLIF, StochasticLIF
from snnkit.plasticity import (
    AstrocyteNetwork,
    Modulators,
    Rule,
    astrocyte,
    astrocyte_stdp,
    pair_stdp,
    register,
    short_term,
)


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    interpret(monkeypatch)


# Wiring -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_random_pairs_are_unique_sorted_and_as_many_as_asked(n_pre, n_post, p, seed):
    made = Projection.random(n_pre, n_post, p=p, seed=seed)
    cells = made.pre.astype(int) * n_post + made.post
    assert (np.diff(cells) > 0).all()
    expected, spread = p * n_pre * n_post, math.sqrt(p * (1 - p) * n_pre * n_post)
    assert abs(len(made) - expected) <= 6 * spread + 1e-9


def test_random_without_self_loops_and_the_same_seed_the_same_liquid():
    one, two = (Projection.random(50, 50, p=0.3, self_loops=False, w=(0.0, 1.0), seed=3) for _ in range(2))
    assert (one.pre != one.post).all() and 500 < len(one) < 960
    assert all(np.array_equal(getattr(one, k), getattr(two, k)) for k in ("pre", "post", "w"))
    assert not np.array_equal(one.w, Projection.random(50, 50, p=0.3, w=(0.0, 1.0), seed=4).w[: len(one)])


def test_the_grid_joins_near_neurons_with_the_probabilities_of_their_kinds():
    four = (0.2, 0.1, 0.3, 0.05)
    made = Projection.grid((9, 9, 9), reach=3.0, p=four, w=2.0, seed=0)
    kind = (made.sign < 0).astype(int)
    assert kind.sum() == round(0.2 * 729) and (made.pre != made.post).all()
    assert np.array_equal(made.w, 2.0 * made.sign[made.pre]), "Dale's law"
    square = ((made.positions[:, None] - made.positions[None]) ** 2).sum(-1)
    chance = np.exp(-square / 9.0) * (1 - np.eye(729))
    for i, p in enumerate(four):
        pairs = (kind[:, None] == i // 2) & (kind[None] == i % 2)
        hits = (pairs[made.pre, made.post]).sum()
        expected = p * chance[pairs].sum()
        assert abs(hits - expected) < 5 * math.sqrt(expected)
    near = square[made.pre, made.post]
    assert near.mean() == pytest.approx((chance * square).sum() / chance.sum(), rel=0.05)


def test_delays_may_follow_distance():
    made = Projection.grid((4, 4, 4), reach=2.0, delay=lambda distance: 1e-3 * np.ceil(distance), seed=0)
    distance = np.linalg.norm(made.positions[made.pre] - made.positions[made.post], axis=1)
    np.testing.assert_allclose(made.delay, 1e-3 * np.ceil(distance))
    with pytest.raises(UserError, match="only `grid` has"):
        Projection.random(5, 5, p=1.0, delay=lambda distance: distance)


def clustering(made):
    a = (made.matrix() != 0) | (made.matrix().T != 0)
    a = a.astype(int)
    paths = a.sum(1) * (a.sum(1) - 1)
    return (np.diag(a @ a @ a) / np.maximum(paths, 1)).mean()


def test_small_worlds_lie_between_a_ring_and_chance():
    ring, small, chance = (Projection.small_world(200, k=8, rewire=r, seed=0) for r in (0.0, 0.1, 1.0))
    assert clustering(ring) == pytest.approx(3 * (8 - 2) / (4 * (8 - 1)))
    assert clustering(ring) > clustering(small) > 3 * clustering(chance)
    for made in (ring, small, chance):
        assert len(made) == 1600 and len({*zip(made.pre.tolist(), made.post.tolist(), strict=True)}) == 1600
        assert (made.pre != made.post).all() and (np.bincount(made.pre) == 8).all()
    moved = np.abs(small.pre - small.post)
    assert 0.05 < (np.minimum(moved, 200 - moved) > 4).mean() < 0.15


def test_scale_free_degrees_have_a_heavy_tail():
    made = Projection.scale_free(3000, m=3, seed=0)
    assert len(made) == 3 * (3000 - 3)
    degrees = np.bincount(np.concatenate([made.pre, made.post]), minlength=3000)
    assert degrees.max() > 80 and degrees.min() >= 1
    tail = np.sort(degrees[degrees >= 10])
    exponent = 1 + len(tail) / np.log(tail / 9.5).sum()
    assert 2.4 < exponent < 3.6, "Barabási and Albert: 3"


def test_mistakes_in_wiring_are_told():
    for words, make in {
        "a probability": lambda: Projection.random(5, 5, p=1.5),
        "reach > 0": lambda: Projection.grid((3, 3), reach=0.0),
        "at least one neuron along": lambda: Projection.grid((3, 0), reach=1.0),
        "even k": lambda: Projection.small_world(10, k=3, rewire=0.1),
        "1 <= m < n": lambda: Projection.scale_free(5, m=9),
        "seconds >= 0": lambda: Projection.dense(2, 2, delay=-1e-3),
        r"one for each of the 4 synapses": lambda: Projection.dense(2, 2, w=[1.0, 2.0]),
        r"neurons 0..1, got 0..2": lambda: Projection(shape=(2, 2), pre=[0, 2], post=[0, 1], w=1.0),
        r"\(low, high\)": lambda: Projection.dense(2, 2, w=(1.0, 0.0)),
        "boolean mask of 2": lambda: Projection.dense(2, 2, inhibitory=[True, False, True]),
        "not finite": lambda: Projection.dense(2, 2, w=math.nan),
        r"\[n_pre, n_post\]": lambda: Projection.from_matrix([1.0, 2.0]),
        "such as \\(10, 10, 10\\); got 6": lambda: Projection.grid(6, reach=1.0),
        "whole numbers, got float64": lambda: Projection(shape=(2, 2), pre=[0.5], post=[0], w=1.0),
        "the function pair_stdp: call it": lambda: Projection.dense(2, 2, rule=pair_stdp),
        "such as pair_stdp.*got 'stdp'": lambda: Projection.dense(2, 2, rule="stdp"),
    }.items():
        with pytest.raises(UserError, match=words):
            make()


def test_mistakes_in_a_liquid_are_told():
    drive, lif = Projection.dense(M, N), LIF(tau=20 * MS, dt=MS)
    for words, kind, make in (
        ("synapses from its input", UserError, lambda: Liquid(lif, {})),
        ("joins 20 to 12", UserError, lambda: Liquid(lif, drive, Projection.dense(N, M))),
        ("at least one step", UserError, lambda: Liquid(lif, drive, Projection.dense(N, N, delay=0.0))),
        ("are delays seconds", UserError, lambda: Liquid(lif, drive, Projection.dense(N, N, delay=2e3))),
        ("no port 'apical'", UserError, lambda: Liquid(lif, drive.replaced(port="apical"))),
        ("ports are 0..0", UserError, lambda: Liquid(lif, drive.replaced(port=1))),
        ("given dt=0.002", UserError, lambda: Liquid(lif, drive, dt=2 * MS)),
        ("draws noise", UserError, lambda: Liquid(StochasticLIF(tau=20 * MS, dt=MS), drive)),
        ("such as LIF", TypeError, lambda: Liquid(torch.nn.ReLU(), drive)),
        ("is a Projection", TypeError, lambda: Liquid(lif, {"a": 3})),
        ("several by name; got list", TypeError, lambda: Liquid(lif, [drive])),
        (r"call its modulators\(\); got AstrocyteNetwork", TypeError,
         lambda: Liquid(lif, drive, modulators=AstrocyteNetwork.whole(N))),
        ("such as astrocyte.*got dict", TypeError, lambda: Liquid(lif, drive, modulators={"A": 0.1})),
        ("two projections are called", UserError, lambda: Liquid(lif, {"a": drive}, {"a": Projection.dense(N, N)})),
    ):  # fmt: skip
        with pytest.raises(kind, match=words):
            make()


def test_mistakes_in_a_run_are_told():
    liquid, ev = BY_NAME["pair"].build(), poisson()
    x = torch.zeros(5, 1, M, requires_grad=True)
    for words, call in {
        "12 input channels, but the events have 3": lambda: liquid(
            EventTensor.from_dense(torch.ones(4, 1, 3), MS)
        ),
        "binned in dt=0.002": lambda: liquid(EventTensor.from_dense(torch.ones(4, 1, M), 2 * MS)),
        "no gradients.*Recurrent": lambda: liquid(x),
        "did you mean 'recurrent.w'": lambda: liquid.run(ev, keep=["recurent.w"]),
        "cannot record 'A'": lambda: liquid.run(ev, record=["A"]),
        r"such as keep=\['v'\]": lambda: liquid.run(ev, keep="v"),
        "threads is a whole number": lambda: liquid.run(ev, threads=0),
        "another batch": lambda: liquid.scan(ev, liquid.scan(poisson(batch=3))[1]),
        "LiquidState": lambda: liquid.scan(ev, (1, 2)),
        "no constant|has the constant 'eta'": lambda: liquid.with_constants({"eta": 1.0}),
        "no projection 'rec'": lambda: liquid.projection("rec"),
        "synapses, got weights": lambda: liquid.with_weights(recurrent=[1.0]),
        "no state 'theta' to carry": lambda: liquid.learn(ev, carry=["theta"]),
        "no projection of this liquid has a rule": lambda: liquid.frozen().learn(ev),
    }.items():
        with pytest.raises(UserError, match=words):
            call()
    with pytest.raises(TypeError, match="EventTensor"):
        liquid([1, 2])


# Using one --------------------------------------------------------------------------------------------------------


def test_it_composes_with_layers_and_changes_nothing_of_itself():
    liquid, ev = BY_NAME["pair"].build(), poisson()
    before = {k: v.clone() for k, v in liquid.state_dict().items()}
    out = liquid(ev)
    net = Sequential(liquid, Linear(N, 3))
    assert net(ev).shape == (T, B, 3)
    assert out.shape == (T, B, N) and out.dt == MS
    assert liquid(ev.dense()).equal(out), "a dense tensor is the same input"
    assert all(torch.equal(v, before[k]) for k, v in liquid.state_dict().items())


def test_records_follow_the_run():
    rule, modulators = astrocyte_stdp(w_max=0.6, tau_u=None), astrocyte(gain=0.01)
    liquid = Liquid(cell(), Projection.dense(M, N, w=0.3, rule=rule), modulators=modulators)
    ev = poisson()
    run = liquid.run(ev, record=["A", "n_in", "n_out", "rate", "v"], keep=["A", "v", "inputs.r"])
    assert torch.equal(run.record["n_in"], ev.dense().sum(2))
    assert torch.equal(run.record["n_out"], run.spikes.dense().sum(2))
    assert torch.allclose(run.record["rate"], run.record["n_out"] / (N * MS))
    assert torch.equal(run.record["v"][-1], run.final["v"]) and torch.equal(
        run.record["A"][-1], run.final["A"]
    )
    A = torch.full((B,), 0.15)
    for t in range(T):
        A = A + (-A + 0.15 + 0.01 * (run.record["n_out"][t] - run.record["n_in"][t])) * 0.01
        assert torch.allclose(run.record["A"][t], A, atol=1e-6)
    r = torch.zeros(B, M)
    for t in range(T):
        r = (r + 0.1 * ev[t]) * math.exp(-0.1)
    assert torch.allclose(run.final["inputs.r"], r, atol=1e-6)


def test_learning_is_one_sample_after_another():
    liquid, ev = BY_NAME["pair"].build(), poisson(batch=3)
    by_hand = liquid
    for b in range(3):
        run = by_hand.run(ev.batch(b), keep=["inputs.w", "recurrent.w"])
        by_hand = by_hand.with_weights(**{k: run.final[f"{k}.w"][0] for k in ("inputs", "recurrent")})
    tuned = liquid.learn(ev)
    for label in tuned.labels:
        assert torch.equal(tuned._weights(label), by_hand._weights(label))
        assert not torch.equal(tuned._weights(label), liquid._weights(label))
    assert tuned(ev).equal(by_hand(ev)) and not tuned(ev).equal(liquid(ev))


def test_states_may_be_carried_and_weights_seen_between_samples():
    neuron = AdaptiveLIF(tau=20 * MS, tau_adapt=500 * MS, dt=MS, beta=1.0)
    liquid = Liquid(neuron, Projection.dense(M, N, w=0.3, rule=pair_stdp()))
    ev, seen, begun = poisson(batch=3), [], []

    def before_each(b, weights):
        seen.append((b, weights["inputs"].sum()))
        weights["inputs"] *= 30.0 / weights["inputs"].sum()
        begun.append(weights["b"].max())

    counted = []
    tuned = liquid.learn(
        ev, carry=["b"], before_each=before_each, after_each=lambda b, counts: counted.append((b, counts))
    )
    assert [b for b, _ in counted] == [0, 1, 2]
    assert begun[0] == 0 < begun[1] < begun[2], "carried states are shown, too"
    alone = liquid.with_weights(inputs=liquid._weights("inputs") * (30.0 / (0.3 * M * N)))
    assert np.array_equal(counted[0][1], alone(ev).dense()[:, 0].sum(0).numpy()) and counted[0][1].any()
    assert [b for b, _ in seen] == [0, 1, 2] and seen[0][1] == pytest.approx(0.3 * M * N, rel=1e-5)
    assert not any(math.isclose(s, 30.0, rel_tol=1e-4) for _, s in seen), "they changed in between"
    assert tuned.begin()["b"].max() > 0.01 and not tuned.begin()["v"].any()
    assert not liquid.begin()["b"].any()


def test_constants_stay_where_a_liquid_is_made_of_another():
    ev = poisson(batch=2)
    tiring = Liquid(
        LIF(tau=20 * MS, dt=MS), Projection.dense(M, N, w=(0.0, 1.0), rule=short_term(), seed=0)
    ).with_constants({"U": 0.2})
    assert tiring.projection("inputs").rule.const == {"U": 0.2}
    assert tiring(ev).nnz > 0 and tiring.frozen()(ev).equal(tiring(ev))
    fast, slow = pair_stdp(a_plus=0.2, a_minus=0.3), pair_stdp(a_plus=1e-3, a_minus=2e-3)
    drive, back = Projection.dense(M, N, w=(0.0, 0.5), rule=fast), Projection.dense(N, N, w=0.01, rule=slow)
    liquid = Liquid(LIF(tau=20 * MS, dt=MS), drive, back, astrocyte())
    found = liquid.with_constants({"modulators.c": 0.5}).replaced(inputs=drive.replaced(rule=None))
    assert found.numbers == {
        **Liquid(LIF(tau=20 * MS, dt=MS), drive.replaced(rule=None), back, astrocyte()).numbers,
        "modulators.c": 0.5,
    }
    assert list(found.numbers) == list(found.blueprint.numbers.values), (
        "each in the place that the kernel reads"
    )
    weak = liquid.with_weights(recurrent=np.zeros(N * N)).replaced(LIF(tau=10 * MS, dt=MS))
    assert weak.projection("recurrent").w.max() == 0.0 and weak.numbers == liquid.numbers
    assert float(weak.neuron.tau) == pytest.approx(10 * MS)
    with pytest.raises(UserError, match="did you mean 'inputs'"):
        liquid.replaced(input=drive)


def test_normalised_columns():
    liquid = Liquid(cell(), Projection.random(M, N, p=0.7, w=(0.1, 1.0), inhibitory=0.3, seed=0))
    part = liquid.normalized("inputs", 3.0).projection("inputs")
    np.testing.assert_allclose(np.abs(part.matrix()).sum(0), 3.0, rtol=1e-6)
    assert (np.sign(part.w) == part.sign[part.pre]).all()
    block = Liquid(cell(), Projection.dense(M, N, post=(5, 15), w=(-1.0, 1.0), seed=0)).normalized(
        "inputs", 2.0
    )
    np.testing.assert_allclose(np.abs(block.projection("inputs").matrix()).sum(0)[5:15], 2.0, rtol=1e-6)


def test_constants_change_without_a_new_kernel():
    liquid, ev = BY_NAME["pair"].build(), poisson()
    liquid(ev)
    faster = liquid.with_constants({"ap": 0.1, "recurrent.am": 0.0})
    assert faster._cache.keys() == liquid._cache.keys()
    assert not faster(ev).equal(liquid(ev))
    assert faster.numbers["inputs.am"] == liquid.numbers["inputs.am"] and faster.numbers["inputs.ap"] == 0.1


def test_silence_and_nothing_at_all():
    liquid = BY_NAME["pair"].build()
    still = liquid.run(EventTensor.from_dense(torch.zeros(10, 2, M), MS), keep=["recurrent.w"])
    assert still.spikes.nnz == 0 and torch.equal(still.final["recurrent.w"][1], liquid._weights("recurrent"))
    assert liquid(EventTensor.from_dense(torch.zeros(0, 2, M), MS)).shape == (0, 2, N)
    assert liquid(poisson().batch([])).shape == (T, 0, N)


def test_an_empty_projection_is_a_projection():
    liquid = Liquid(cell(), Projection.dense(M, N, w=0.3), Projection.random(N, N, p=0.0, rule=pair_stdp()))
    assert liquid(poisson()).equal(Liquid(cell(), Projection.dense(M, N, w=0.3))(poisson()))


# Files ------------------------------------------------------------------------------------------------------------


def liquids():
    neuron = CubaLIF(tau_mem=20 * MS, tau_syn=np.linspace(2e-3, 6e-3, N), dt=MS, threshold=0.9)
    rec = Projection.grid((4, 5), reach=2.0, w=0.2, delay=(1 * MS, 4 * MS), rule=pair_stdp(mu=0.2), seed=0)
    yield Liquid(neuron, Projection.dense(M, N, w=(0.1, 0.3), seed=1), rec)
    rule = astrocyte_stdp(w_max=0.6)
    yield Liquid(
        cell(), {"a": Projection.random(M, N, p=0.5, w=0.3, rule=rule, seed=0)}, modulators=astrocyte()
    )
    yield Liquid(
        cell(), Projection.dense(M, N, w=(0.3, 0.6), rule=short_term(), seed=0), dense=False
    ).double()
    yield (
        Liquid(cell(), Projection.dense(M, N, w=(0.2, 0.4), rule=pair_stdp(), seed=0))
        .learn(poisson())
        .frozen()
    )


@pytest.mark.parametrize("k", range(4))
def test_a_saved_liquid_is_the_same_liquid(k, tmp_path):
    liquid, ev = list(liquids())[k], poisson()
    if k == 1:
        liquid = liquid.with_constants({"c": 0.99, "top": 0.5})
    save(liquid, tmp_path / "liquid.safetensors")
    again = load(tmp_path / "liquid.safetensors")
    assert liquid(ev).nnz > 0 and again(ev).equal(liquid(ev))
    assert (
        again.numbers == liquid.numbers and again.labels == liquid.labels and again._real() == liquid._real()
    )
    for label in liquid.labels:
        one, two = liquid.projection(label), again.projection(label)
        assert np.array_equal(one.w, two.w) and np.array_equal(one.sign, two.sign)


@pytest.mark.parametrize("k", range(4))
def test_a_liquid_travels_to_other_processes(k):
    liquid, ev = list(liquids())[k].with_constants({}), poisson()
    again = pickle.loads(pickle.dumps(liquid))  # noqa: S301 (our own bytes)
    assert again(ev).equal(liquid(ev)) and again.numbers == liquid.numbers
    assert copy.deepcopy(liquid)(ev).equal(liquid(ev))


def test_a_rule_of_ones_own_is_saved_once_registered(tmp_path):
    def build(rule):
        return Liquid(cell(), Projection.dense(M, N, w=0.3, rule=rule))

    with pytest.raises(UserError, match=r"@snnkit.plasticity.register"):
        save(build(Rule(on_pre=lambda w: w * 0.9)), tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()

    @register
    def my_fading_rule(*, by=0.9, each=None):
        return Rule(on_pre=lambda w, by, each: w * by * each, const={"by": by}, per_post={"each": each})

    liquid = build(my_fading_rule(by=0.7, each=np.linspace(0.8, 1.0, N)))
    save(liquid, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors")(poisson()).equal(liquid(poisson()))


def test_files_that_are_no_liquids_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot read"):
        load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="holds no liquid"):
        load(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"snnkit.liquid": json.dumps({"version": 9})})
    with pytest.raises(UserError, match="version 9"):
        load(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"snnkit.liquid": json.dumps({"version": 1})})
    with pytest.raises(UserError, match="damaged"):
        load(path)


def test_a_neuron_that_cannot_be_told_is_refused(tmp_path):
    class Mine(LIF):
        pass

    liquid = Liquid(Mine(tau=20 * MS, dt=MS), Projection.dense(M, N))
    with pytest.raises(UserError, match="Mine is not a neuron of"):
        save(liquid, tmp_path / "a.safetensors")


def test_modulators_of_ones_own_are_refused_without_a_name(tmp_path):
    liquid = Liquid(cell(), Projection.dense(M, N), modulators=Modulators({"A": 1.0}, lambda A: A))
    with pytest.raises(UserError, match="the modulators has no name"):
        save(liquid, tmp_path / "a.safetensors")


def test_weak_synapses_give_way_to_new_ones():
    made = Projection.random(
        30, 30, p=0.3, w=(0.0, 1.0), self_loops=False, inhibitory=0.2, delay=(1 * MS, 5 * MS), seed=0
    )
    again = made.rewired(0.3, w=0.5, seed=1)
    moved = np.abs(made.w) < 0.3
    assert 0.2 < moved.mean() < 0.4 and len(again) == len(made)
    assert np.array_equal(made.pre[~moved], again.pre[~moved]) and np.array_equal(
        made.w[~moved], again.w[~moved]
    )
    cells = again.pre.astype(int) * 30 + again.post
    assert len(set(cells.tolist())) == len(cells) and (again.pre != again.post).all()
    assert not set(cells[moved].tolist()) & set((made.pre.astype(int) * 30 + made.post).tolist())
    assert (again.w[moved] == 0.5 * again.sign[again.pre[moved]]).all() and np.array_equal(
        again.delay, made.delay
    )
    with pytest.raises(UserError, match="fewer pairs are free"):
        Projection.dense(3, 3).rewired(2.0, w=1.0)
