"""What each rule does to a weight: windows, frequencies, rewards, rates; and how mistakes in a rule are told."""

import math

import numpy as np
import pytest
import torch
from simulator_cases import BY_NAME, MS, interpret, poisson

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection
from snnkit.neurons import IF, LIF
from snnkit.plasticity import (
    Modulators,
    Rule,
    Trace,
    anti_hebbian_stdp,
    bcm,
    clocked_eligibility_stdp,
    clopath_stdp,
    diehl_cook_stdp,
    dopamine,
    eligibility_stdp,
    homeostatic_stdp,
    oja,
    pair_stdp,
    registry,
    reward_stdp,
    short_term,
    symmetric_stdp,
    triplet_stdp,
)


@pytest.fixture(autouse=True)
def no_compiler(request, monkeypatch):
    if "compiled" not in request.node.name:
        interpret(monkeypatch)


def synapse(rule, w=0.5, modulators=None, dtype=torch.float64, neuron=None):
    """Channel 0 reaches the neuron by the synapse looked at; channel 1 makes the neuron fire, whatever the first does."""
    inputs = {
        "synapse": Projection(shape=(2, 1), pre=[0], post=[0], w=[w], rule=rule),
        "fire": Projection(shape=(2, 1), pre=[1], post=[0], w=[50.0]),
    }
    return Liquid(neuron or IF(threshold=20.0, reset="zero"), inputs, modulators=modulators, dt=MS).to(dtype)


def trains(pre, post, steps):
    """One sample for each pair of lists of spike times, in steps."""
    x = torch.zeros(steps, len(pre), 2)
    for b, times in enumerate(zip(pre, post, strict=True)):
        for channel, train in enumerate(times):
            x[list(train), b, channel] = 1.0
    return EventTensor.from_dense(x, MS)


def changes(rule, pre, post, steps, w=0.5, **options):
    """Change of the weight in each sample."""
    signals = options.pop("signals", None)
    run = synapse(rule, w, **options).run(trains(pre, post, steps), keep=["synapse.w"], signals=signals)
    return run.final["synapse.w"][:, 0].numpy() - w


LAGS = np.arange(-100, 101)  # post minus pre, in ms


def window(rule):
    return changes(rule, [[105]] * len(LAGS), [[105 + lag] for lag in LAGS], 210)


def exponential(plus, minus, tau_plus, tau_minus):
    found = np.where(LAGS > 0, plus * np.exp(-LAGS / tau_plus), minus * np.exp(LAGS / tau_minus))
    return np.where(LAGS == 0, 0.0, found)


# Windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nearest", [False, True])
def test_the_exponential_window_point_by_point(nearest):
    rule = pair_stdp(a_plus=0.01, a_minus=0.012, tau_plus=17 * MS, tau_minus=34 * MS, nearest=nearest)
    np.testing.assert_allclose(window(rule), exponential(0.01, -0.012, 17, 34), rtol=1e-9, atol=1e-15)


def test_the_window_in_single_precision():
    rule = pair_stdp()
    found = changes(rule, [[105]] * len(LAGS), [[105 + lag] for lag in LAGS], 210, dtype=torch.float32)
    np.testing.assert_allclose(found, exponential(0.01, -0.0105, 20, 20), atol=1e-7)


def test_anti_hebbian_is_the_window_upside_down():
    rule = anti_hebbian_stdp(a_plus=0.01, a_minus=0.02, tau_plus=10 * MS, tau_minus=25 * MS)
    np.testing.assert_allclose(window(rule), exponential(-0.02, 0.01, 25, 10), rtol=1e-9, atol=1e-15)


def test_the_symmetric_window_has_one_shape_in_both_orders():
    found = window(symmetric_stdp(a=0.01, alpha=0.3, tau=20 * MS))
    np.testing.assert_allclose(found, found[::-1], rtol=1e-12)
    np.testing.assert_allclose(
        found[LAGS != 0], 0.01 * (np.exp(-np.abs(LAGS[LAGS != 0]) / 20) - 0.3), rtol=1e-9
    )


@pytest.mark.parametrize("mu", [0.0, 0.2, 1.0])
def test_weight_dependence(mu):
    for w in (0.125, 0.5, 0.875):
        up, down = changes(pair_stdp(mu=mu), [[10], [15]], [[15], [10]], 30, w=w)
        assert up == pytest.approx(0.01 * (1 - w) ** mu * math.exp(-5 / 20), rel=1e-9)
        assert down == pytest.approx(-0.0105 * w**mu * math.exp(-5 / 20), rel=1e-9)


def test_weights_stay_within_their_bounds():
    many = list(range(10, 190, 7))
    later = [t + 2 for t in many]
    up, down = changes(
        pair_stdp(a_plus=0.3, a_minus=0.3, bounds=(0.2, 0.8)), [many, later], [later, many], 200
    )
    assert (up, down) == (pytest.approx(0.3), pytest.approx(-0.3))


def test_nearest_and_all_to_all_part_ways_above_20_hz():
    def spread(period):
        pre = list(range(10, 400, period))
        post = [t + 5 for t in pre]
        every, near = (changes(pair_stdp(nearest=k), [pre], [post], 410)[0] / len(pre) for k in (False, True))
        return abs(every - near) / abs(near)

    assert spread(200) < 0.01 and spread(25) > 0.1


def pairings(rule, hertz, lag, pairs=60):
    period = round(1000 / hertz)
    pre = [100 + k * period for k in range(pairs)]
    return changes(rule, [pre], [[t + lag for t in pre]], 200 + pairs * period)[0]


def triplet_by_hand(hertz, lag, pairs=60):
    """The triplet rule with sums over all earlier spikes in place of traces."""
    period = round(1000 / hertz)
    pre = np.array([100 + k * period for k in range(pairs)])
    post, total = pre + lag, 0.0
    earlier = lambda t, train, tau: np.exp(-(t - train[train < t]) / tau).sum()
    for t in pre:
        total -= earlier(t, post, 33.7) * (7e-3 + 2.3e-4 * earlier(t, pre, 101))
    for t in post:
        total += earlier(t, pre, 16.8) * (5e-10 + 6.2e-3 * earlier(t, post, 125))
    return total


@pytest.mark.parametrize("hertz", [10, 20, 40, 50])
@pytest.mark.parametrize("lag", [-10, 10])
def test_triplets_by_frequency(hertz, lag):
    rule = triplet_stdp(bounds=(-10.0, 10.0))
    assert pairings(rule, hertz, lag) == pytest.approx(triplet_by_hand(hertz, lag), rel=1e-7)


def test_triplets_depress_when_rare_and_potentiate_when_frequent():
    assert triplet_by_hand(1, -10) < -0.05 and abs(triplet_by_hand(1, 10)) < 0.02
    assert triplet_by_hand(50, -10) > 0.2 and triplet_by_hand(50, 10) > 0.2


def test_diehl_and_cook_read_the_post_trace_before_the_spike():
    first, second = changes(diehl_cook_stdp(), [[10], [10, 30]], [[12], [12, 33]], 40)
    assert first == pytest.approx(0.0, abs=1e-15)
    down = -1e-4 * math.exp(-18 / 20)
    assert second == pytest.approx(down + 1e-2 * math.exp(-3 / 20) * math.exp(-21 / 40), rel=1e-9)


def test_the_voltage_rule_depresses_before_and_potentiates_after():
    """Repeated pairings; the membrane of `reset_timing="next"` passes the threshold in the step of the spike."""
    rule = clopath_stdp(a_ltd=0.01, a_ltp=0.3, theta_minus=0.5, theta_plus=5.0, bounds=None)
    neuron = LIF(tau=5 * MS, dt=MS, threshold=20.0, reset="zero", reset_timing="next")
    pre = list(range(20, 400, 50))
    early, late, alone = changes(
        rule, [pre] * 3, [[t + 5 for t in pre], [t - 5 for t in pre], []], 420, neuron=neuron
    )
    assert early > 0.01 and late < -0.01 and alone == 0.0


# Reward -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [reward_stdp(), eligibility_stdp()], ids=["now", "eligibility"])
def test_without_reward_nothing_is_learned(rule):
    pre, post = list(range(5, 95, 9)), list(range(7, 95, 9))
    modulators = dopamine() if rule.synapse else None
    found = changes(rule, [pre], [post], 100, modulators=modulators, signals={"reward": np.zeros(100)})
    assert found[0] == 0.0


def test_reward_of_the_same_step():
    reward = np.zeros(30)
    reward[15] = -2.0
    pre = [[10]] * 2
    found = changes(reward_stdp(a_plus=0.01), pre, [[15], [16]], 30, signals={"reward": reward})
    np.testing.assert_allclose(found, [-2 * 0.01 * math.exp(-5 / 20), 0.0], rtol=1e-9)


def test_the_moving_frame_is_the_clocked_rule():
    """Over many frames and both signs of dopamine, in double precision."""
    reward = BY_NAME["eligibility"].signals(steps=300, batch=1)["reward"]
    for tau_d in (20 * MS, None):
        options = {"tau_c": 15 * MS, "tau_d": tau_d, "baseline": 0.05}
        ev = poisson(300, 1, 2, 60.0, seed=3)
        both = [
            synapse(rule, modulators=dopamine(**options)).run(
                ev, keep=["synapse.w"], signals={"reward": reward}
            )
            for rule in (
                eligibility_stdp(a_plus=0.3, a_minus=0.2),
                clocked_eligibility_stdp(tau_c=15 * MS, a_plus=0.3, a_minus=0.2),
            )
        ]
        moving, clocked = (run.final["synapse.w"].item() for run in both)
        assert moving == pytest.approx(clocked, rel=1e-11) and abs(clocked - 0.5) > 1e-3


def test_reward_comes_a_second_later():
    """The synapse whose pair came a second before the reward learns; pairs long before, and unpaired spikes, do not."""
    steps, at = 4000, 2500
    reward = np.zeros(steps)
    reward[at] = 1.0
    paired, old, alone = [at - 1000], [100], [at - 1000]
    post = [[at - 995], [105], [3900]]
    rule, modulators = eligibility_stdp(a_plus=0.01), dopamine(tau_c=0.5, tau_d=0.2)
    found = changes(
        rule, [paired, old, alone], post, steps, modulators=modulators, signals={"reward": reward}, dtype=torch.float32
    )  # fmt: skip
    e = 0.01 * math.exp(-5 / 20) * math.exp(-(at + 1 - (at - 995)) / 500)
    k = math.exp(-1 / 200) * math.exp(-1 / 500)
    n = steps - at - 1
    assert found[0] == pytest.approx(e * MS * (1 - k**n) / (1 - k), rel=1e-3)
    assert found[0] > 10 * abs(found[1]) and abs(found[2]) < 1e-3 * found[0]


# Rates ------------------------------------------------------------------------------------------------------------


def test_oja_keeps_the_norm():
    """Pulses that always make the neuron fire: w goes to the stable point of y·(x - y·w), the same from both sides."""
    times = list(range(5, 1500, 10))
    near = [t + 1 for t in times]
    low, high = (
        changes(oja(eta=0.05, bounds=(0.0, 3.0)), [times], [near], 1500, w=w)[0] + w for w in (0.1, 2.0)
    )
    x = math.exp(-1 / 20) / (1 - math.exp(-10 / 20))  # before each post spike
    y = math.exp(-10 / 20) / (1 - math.exp(-10 / 20))
    assert low == pytest.approx(x / y, rel=1e-3) and high == pytest.approx(x / y, rel=1e-3)
    with pytest.raises(UserError, match="both bounds"):
        oja(bounds=(0.0, None))


def test_the_sliding_threshold_turns_the_sign_with_the_rate():
    def change(hertz):
        post = np.flatnonzero(np.random.default_rng(0).random(4000) < hertz / 1000)[2:]
        return changes(bcm(eta=0.001, rate=20.0, tau_theta=0.5), [post - 2], [post], 4000)[0]

    assert change(10) > 2e-3 and change(40) < -2e-2


def test_homeostasis_holds_the_target_rate():
    """From weak and from strong weights a neuron ends near its rate, where without the rule it would not."""
    inputs = Projection.dense(40, 8, w=1.0, seed=0)
    rule = homeostatic_stdp(a_plus=0.0, a_minus=0.0, rate=20.0, k=2e-3, tau_rate=0.5, bounds=(0.0, 3.0))
    ev = poisson(5000, 1, 40, 20.0)
    rates = {}
    for w in (0.12, 0.6):
        for name, k in (("ruled", 2e-3), ("free", 0.0)):
            liquid = Liquid(LIF(tau=20 * MS, dt=MS), inputs.replaced(w=np.full(320, w), rule=rule))
            rates[w, name] = liquid.with_constants({"k": k})(ev)[3500:].nnz / (8 * 1.5)
    assert all(15 < rates[w, "ruled"] < 27 for w in (0.12, 0.6)), rates
    assert not any(13 < rates[w, "free"] < 30 for w in (0.12, 0.6)), rates


@pytest.mark.parametrize("tau_facil", [0.0, 0.5])
def test_short_term_amplitudes(tau_facil):
    """A regular train against the recursion of Tsodyks, Pawelzik and Markram."""
    times, U = list(range(10, 500, 50)), 0.3
    liquid = synapse(short_term(U=U, tau_rec=0.2, tau_facil=tau_facil), w=1.0, neuron=IF(threshold=1e6))
    v = liquid.run(trains([times], [[]], 500), record=["v"]).record["v"][:, 0, 0].numpy()
    found = np.diff(v, prepend=0.0)[times]
    u, R, expected = 0.0, 1.0, []
    for _ in times:
        now = U if tau_facil == 0 else u + U * (1 - u)
        expected.append(now * R)
        R = 1 + (R - now * R - 1) * math.exp(-0.05 / 0.2)
        u = now * math.exp(-0.05 / tau_facil) if tau_facil else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert (found[1] > found[0]) == (tau_facil > 0)


def test_an_astrocyte_tames_a_runaway_liquid_compiled():
    from snnkit.neurons import Refractory
    from snnkit.plasticity import astrocyte, astrocyte_stdp

    neuron = Refractory(LIF(tau=64 * MS, dt=MS, threshold=20.0, reset="zero"), t_ref=2 * MS)
    rule, free = astrocyte_stdp(tau_u=None), astrocyte_stdp(tau_u=None, dale=False)
    inputs = Projection.random(784, 1000, p=0.15, w=lambda g, n: g.choice([-3.0, 3.0], n), rule=free, seed=0)
    back = Projection.grid((10, 10, 10), reach=3.0, p=(0.2, 0.1, 0.3, 0.05), w=3.0, rule=rule, seed=1)
    ev, fresh = poisson(20, 250, 784, 37.0), poisson(250, 2, 784, 37.0, seed=9)
    ratios, records = {}, {}
    for name, gain in (("with", 0.015), ("without", 0.0)):
        run = Liquid(neuron, inputs, back, astrocyte(gain=gain)).learn(ev).run(fresh, record=["A"])
        ratios[name], records[name] = run.spikes.nnz / fresh.nnz, run.record["A"]
    assert 0.5 < ratios["with"] < 2.0 and ratios["without"] > 4.0, ratios
    assert records["without"].unique().numel() == 1 and records["with"].std() > 0.01


# Mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_in_a_rule_are_told():
    cases = {
        "reads 'z', which is unknown": Rule(on_pre=lambda w, z: w),
        r"should answer \(w, e\), got 1": Rule(on_pre=lambda w, e: w, synapse={"e": 0.0}),
        "a comparison": Rule(each_step=lambda w: w, when=lambda dt: dt),
        "reads 'n_out'": Rule(on_post=lambda w, n_out: w + n_out),
        "follows the state 'u'": Rule(on_pre=lambda w, m: w + m, traces={"m": Trace("post", 0.01, of="u")}),
        "no `if`": Rule(on_pre=lambda w: w if w > 0 else -w),
        "one number for each of 1 post": Rule(on_pre=lambda w, g: w + g, per_post={"g": [1.0, 2.0]}),
    }
    for words, rule in cases.items():
        with pytest.raises(UserError, match=words):
            synapse(rule)(trains([[1]], [[2]], 5))


def test_names_and_numbers_are_checked_where_a_rule_is_made():
    with pytest.raises(UserError, match="'x' twice"):
        Rule(traces={"x": Trace("pre", 0.02)}, const={"x": 1.0})
    with pytest.raises(UserError, match="positive time constant"):
        Trace("pre", -20.0)
    with pytest.raises(UserError, match='"pre" or "post"'):
        Trace("before", 0.02)
    with pytest.raises(UserError, match="lowest, highest"):
        Rule(on_pre=lambda w: w, bounds=(1.0, 0.0))
    for bounds in (1.0, (0.0,)):
        with pytest.raises(UserError, match="lowest, highest"):
            pair_stdp(bounds=bounds)
    with pytest.raises(UserError, match='x is a Trace, such as Trace\\("pre"'):
        Rule(traces={"x": 20e-3}, on_pre=lambda w, x: w - x)
    with pytest.raises(UserError, match=r"on_post is a function.*got 'w - x'"):
        Rule(on_post="w - x")
    with pytest.raises(UserError, match="both bounds"):
        pair_stdp(mu=0.5, bounds=(0.0, None))
    with pytest.raises(UserError, match="name twice"):
        Modulators({"A": 1.0}, lambda A: A, {"A": 2.0})
    with pytest.raises(UserError, match="modulators both"):
        synapse(
            Rule(on_pre=lambda w, A: w + A, const={"A": 1.0}), modulators=Modulators({"A": 1.0}, lambda A: A)
        )


def test_signals_are_asked_for():
    liquid, ev = synapse(reward_stdp()), trains([[1]], [[2]], 5)
    with pytest.raises(UserError, match=r"read the signals \['reward'\], got \[\]"):
        liquid(ev)
    with pytest.raises(UserError, match="one number per step"):
        liquid.run(ev, signals={"reward": np.zeros(4)})


def test_the_registry_knows_its_rules():
    assert {"pair_stdp", "astrocyte", "dopamine"} <= set(registry.names())
    rule = registry.made("pair_stdp", {"a_plus": 0.5})
    assert rule.const["ap"] == 0.5 and rule.made_by == ("pair_stdp", {"a_plus": 0.5})
    with pytest.raises(UserError, match="did you mean 'pair_stdp'"):
        registry.made("pairstdp", {})
    with pytest.raises(UserError, match="do not fit"):
        registry.made("pair_stdp", {"aplus": 0.5})
