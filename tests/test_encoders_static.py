"""Latency, phase, burst, population and direct codes against their closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnkit.encoders import Burst, Gaussian, GrowingBurst, Phase, direct, latency
from snnkit.errors import UserError
from snnkit.events import EventTensor

unit_arrays = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=st.floats(0, 1)
)
CODES = {
    "latency.linear": lambda x, T: latency.linear(x, steps=T, dt=1e-3),
    "latency.Log": lambda x, T: latency.Log().encode(x, steps=T, dt=1e-3),
    "latency.Charging": lambda x, T: latency.Charging(tau=5e-3).encode(x, steps=T, dt=1e-3),
    "Phase": lambda x, T: Phase(phases=8).encode(x, steps=T, dt=1e-3),
    "Burst": lambda x, T: Burst().encode(x, steps=T, dt=1e-3),
    "Gaussian": lambda x, T: Gaussian().encode(x, steps=T, dt=1e-3),
}


@pytest.mark.parametrize("name", CODES)
def test_every_code_gives_a_valid_tensor_that_keeps_the_batch(name):
    x = np.random.default_rng(0).random((5, 4, 3))
    events = CODES[name](x, 16)
    EventTensor(events.rowptr, events.indices, events.values, events.shape, events.dt)  # checks its arrays
    assert events.shape[:4] == (16, 5, 4, 3) and events.dt == 1e-3
    assert events.batch([4, 2]).equal(CODES[name](torch.from_numpy(x[[4, 2]]), 16))
    assert CODES[name](x[:0], 16).shape[1] == 0
    before = x.copy()
    CODES[name](x, 16)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    ("x", "words"),
    [([[1.5]], r"x\[0, 0\] = 1.5"), ([[float("nan")]], "nan"), ([[-0.1]], "-0.1"), ([0.5], r"x\[None\]")],
)
def test_values_outside_are_refused(name, x, words):
    with pytest.raises(UserError, match=words):
        CODES[name](x, 16)


def test_bytes_and_milliseconds_get_a_hint():
    with pytest.raises(UserError, match="x / 255"):
        latency.linear([[200]], steps=5, dt=1e-3)
    with pytest.raises(UserError, match=r"dt=0\.001"):
        latency.linear([[0.5]], steps=5, dt=1)
    with pytest.raises(UserError, match=r"dt=0\.005"):
        Phase().encode([[0.5]], steps=8, dt=5)
    with pytest.raises(UserError, match="dtype"):
        latency.linear([["a"]], steps=5, dt=1e-3)


# -- latency ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(unit_arrays, st.integers(2, 60), st.floats(1e-4, 0.5))
def test_log_latency_is_right_within_a_relative_error(x, steps, low):
    code = latency.Log(low=low)
    events = code.encode(x, steps=steps, dt=1e-3)
    found = code.decode(events).double().numpy()
    assert np.array_equal(np.isnan(found), x < low)
    assert latency.report(events).silent.tolist() == (x < low).sum(1).tolist()
    fires = x >= low
    ratio = found[fires] / x[fires]
    bound = 1 + code.relative_error(steps) + 1e-5
    assert ((ratio <= bound) & (ratio >= 1 / bound)).all()


def test_charging_time_in_closed_form():
    assert latency.Charging(tau=1.0, threshold=0.2).time(1.0) == pytest.approx(0.2231, abs=5e-5)
    assert np.isinf(latency.Charging(tau=1.0, threshold=0.2).time(np.array([0.2, 0.1]))).all()


def test_the_charged_membrane_crosses_at_that_time():
    code, dt = latency.Charging(tau=20e-3, threshold=0.3), 1e-6
    x, v = 0.5, 0.0
    n = 0
    while v < 0.3:
        n, v = n + 1, x + (v - x) * np.exp(-dt / 20e-3)
    assert n * dt == pytest.approx(code.time(0.5), abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(unit_arrays, st.floats(0.01, 0.5))
def test_charging_keeps_order_and_inverts_within_half_a_step(x, threshold):
    code, steps, dt = latency.Charging(tau=10e-3, threshold=threshold), 200, 1e-3
    events = code.encode(x, steps=steps, dt=dt)
    first = latency.first_steps(events).numpy()
    fires = first >= 0
    assert not fires[x <= threshold].any()
    assert fires[(x > threshold) & (code.time(x) < (steps - 1) * dt)].all()
    order = np.argsort(x[fires], kind="stable")
    assert (np.diff(first[fires][order]) <= 0).all()
    t = code.time(x)
    low, high = ((t[fires] + s * dt / 2).clip(1e-12) for s in (1, -1))
    found = code.decode(events).numpy()[fires]
    assert (found >= threshold / -np.expm1(-low / 10e-3) - 1e-5).all()
    assert (found <= np.minimum(threshold / -np.expm1(-high / 10e-3), 1) + 1e-5).all()


def test_charging_error_is_the_derivative_for_small_steps():
    """dx = x (x - θ)/(θ τ) · dt/2."""
    code, dt = latency.Charging(tau=10e-3, threshold=0.2), 1e-5
    x = np.linspace(0.21, 0.99, 500)[None]
    error = np.abs(code.decode(code.encode(x, steps=4000, dt=dt)).double().numpy() - x)
    bound = x * (x - 0.2) / (0.2 * 10e-3) * dt / 2
    assert (error <= bound * 1.05 + 1e-6).all() and error.max() > 0.8 * bound.max()


def test_late_spikes_are_dropped_or_kept():
    x = [[0.51, 1.0]]
    drop = latency.Charging(tau=10e-3, threshold=0.5)
    assert latency.first_steps(drop.encode(x, steps=20, dt=1e-3)).tolist() == [[-1, 7]]
    keep = latency.Charging(tau=10e-3, threshold=0.5, keep_late=True)
    assert latency.first_steps(keep.encode(x, steps=20, dt=1e-3)).tolist() == [[19, 7]]


def test_normalised_charging_fills_the_steps_and_inverts():
    code = latency.Charging(tau=10e-3, threshold=0.2, normalize=True, faintest=0.21)
    assert latency.first_steps(code.encode([[1.0, 0.21, 0.2]], steps=50, dt=1e-3)).tolist() == [[0, 49, -1]]
    x = np.linspace(0.21, 1, 100)[None]
    found = code.decode(code.encode(x, steps=2000, dt=1e-3)).numpy()
    assert np.abs(found - x).max() < 0.01
    with pytest.raises(UserError, match="faintest"):
        latency.Charging(tau=1e-3, threshold=0.2, faintest=0.1)


def test_charging_refuses_milliseconds():
    with pytest.raises(UserError, match="seconds"):
        latency.Charging(tau=1e-3).encode([[0.5]], steps=5, dt=0.1)
    with pytest.raises(UserError, match="tau"):
        latency.Charging(tau=0.0)


def test_ties_and_silence_are_told_apart_from_the_last_step():
    events = latency.linear(
        [[0.0, 0.26, 0.25, 1.0], [0.0, 0.0, 0.0, 0.01]], steps=5, dt=1e-3, silent_zero=True
    )
    assert latency.first_steps(events).tolist() == [[-1, 3, 3, 0], [-1, -1, -1, 4]]
    report = latency.report(events)
    assert report.silent.tolist() == [1, 3] and report.tied.tolist() == [2, 0]
    ranks = latency.ranks(events)
    assert ranks[0, 1:].tolist() == [1.5, 1.5, 0.0] and ranks[:, 0].isnan().all() and ranks[1, 3] == 0


@settings(max_examples=30, deadline=None)
@given(unit_arrays)
def test_ranks_are_those_of_the_values_where_there_are_no_ties(x):
    events = latency.linear(x, steps=5000, dt=1e-4)
    first = latency.first_steps(events).numpy()
    for row, found in zip(first, latency.ranks(events).numpy(), strict=True):
        mean_rank = [(row < t).sum() + ((row == t).sum() - 1) / 2 for t in row]
        assert np.allclose(found, mean_rank)


# -- phase ------------------------------------------------------------------------------------------------------------


def test_all_256_values_are_exact():
    x = (np.arange(256) / 256)[None]
    events = Phase(phases=8).encode(x, steps=24, dt=1e-3)
    assert np.array_equal(Phase(phases=8).decode(events).numpy(), x.astype(np.float32))
    bits = events.dense()[:8, 0].numpy()
    assert [format(i, "08b") for i in range(256)] == [
        "".join(str(int(b)) for b in bits[:, i]) for i in range(256)
    ]
    assert np.array_equal(events.dense()[8:16], events.dense()[:8])


def test_phase_errors_as_measured():
    """K = 8: rms 0.002266 (2^-K/√3), max below 2^-K."""
    x = np.linspace(0, 1, 100_001)[None, :-1]
    error = x - Phase(phases=8).decode(Phase(phases=8).encode(x, steps=8, dt=1e-3)).double().numpy()
    assert error.min() >= 0 and error.max() < 2**-8
    assert np.sqrt((error**2).mean()) == pytest.approx(2**-8 / 3**0.5, rel=5e-3)


def test_one_saturates():
    for K in (1, 4, 8):
        code = Phase(phases=K)
        assert code.decode(code.encode([[1.0]], steps=2 * K, dt=1e-3)).item() == 1 - 2**-K


@settings(max_examples=40, deadline=None)
@given(unit_arrays, st.integers(1, 12), st.integers(1, 3))
def test_weighted_phases_carry_the_value(x, K, periods):
    code = Phase(phases=K, weighted=True)
    events = code.encode(x, steps=K * periods, dt=1e-3)
    mean = events.dense(torch.float64).sum(0).numpy() / periods
    assert (x - mean >= -1e-12).all() and (x - mean <= 2.0**-K + 1e-12).all()
    assert np.allclose(code.decode(events).numpy(), mean, atol=1e-6)
    assert torch.equal(code.weights(K * periods)[:K], 2.0 ** -torch.arange(1, K + 1, dtype=torch.float64))


def test_phase_wants_whole_periods():
    with pytest.raises(UserError, match="take 16"):
        Phase(phases=8).encode([[0.5]], steps=10, dt=1e-3)
    with pytest.raises(UserError, match="phases"):
        Phase(phases=0)


# -- burst ------------------------------------------------------------------------------------------------------------


def test_count_and_interval_of_a_burst():
    """n = ⌈5x⌉; ISI = ⌈32 - 30x⌉ for more than one spike."""
    x = np.array([[0.0, 0.2, 0.21, 0.5, 0.6, 1.0]])
    dense = Burst(spikes=5, isi_min=2, isi_max=32).encode(x, steps=110, dt=1e-3).dense()[:, 0].numpy()
    steps = [np.flatnonzero(column).tolist() for column in dense.T]
    assert [len(s) for s in steps] == [0, 1, 2, 3, 3, 5]
    assert [s[1] - s[0] for s in steps[2:]] == [26, 17, 14, 2]
    assert all(np.ptp(np.diff(s)) == 0 for s in steps[2:])


@settings(max_examples=60, deadline=None)
@given(unit_arrays, st.integers(1, 6), st.integers(1, 4), st.integers(8, 60))
def test_bursts_decode_within_their_bound(x, spikes, isi_min, steps):
    code = Burst(spikes=spikes, isi_min=isi_min)
    if spikes > 1 and np.ceil(steps - (steps - isi_min) / spikes - 1e-12) > steps - 1:
        with pytest.raises(UserError, match="isi_max"):
            code.encode(x, steps=steps, dt=1e-3)
        return
    events = code.encode(x, steps=steps, dt=1e-3)
    found = code.decode(events).double().numpy()
    assert np.abs(found - x).max() <= code.error(steps) + 1e-6
    assert (found[x == 0] == 0).all()
    several = x > 1 / spikes + 1e-9
    assert (found[several] <= x[several] + 1e-6).all()
    assert (events.dense().sum(0) <= spikes).all()


def test_length_holds_every_burst():
    code = Burst(spikes=5, isi_min=2, isi_max=20)
    x = np.linspace(0, 1, 2001)[None]
    length = code.length(20)
    whole = code.encode(x, steps=length, dt=1e-3)
    assert np.array_equal(whole.dense().sum(0).numpy(), np.ceil(5 * x - 1e-12))
    assert code.encode(x, steps=length - 1, dt=1e-3).nnz < whole.nnz


def test_a_charge_of_fifteen_leaves_in_four_steps():
    drive = np.zeros((6, 1, 1))
    drive[0] = 15
    events = GrowingBurst(threshold=1.0).encode(drive, dt=1e-3)
    assert events.dense().flatten().tolist() == [1, 2, 4, 8, 0, 0]


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2), st.just(2)), elements=st.floats(0, 1)),
    st.floats(1.1, 4),
)
def test_growing_bursts_leave_little_behind(x, beta):
    code = GrowingBurst(threshold=0.5, beta=beta)
    left = (x * 0.5).sum(0) - code.encode(x * 0.5, dt=1e-3).dense(torch.float64).sum(0).numpy()
    assert left.min() >= -1e-5 and left.max() < code.leftover + 1e-5
    assert GrowingBurst(threshold=0.5).leftover == 1.0


def test_held_values_come_back():
    x = np.random.default_rng(0).random((3, 20))
    code, steps = GrowingBurst(threshold=0.25), 64
    found = code.decode(code.hold(x, steps=steps, dt=1e-3)).numpy() / 0.25
    assert (found <= x + 1e-6).all() and (x - found).max() < 2 / steps


@pytest.mark.parametrize(
    "make",
    [
        lambda: Burst(spikes=0),
        lambda: Burst(isi_min=5, isi_max=5),
        lambda: GrowingBurst(beta=1.0),
        lambda: GrowingBurst(threshold=-1.0),
    ],
)
def test_bursts_refuse_bad_parameters(make):
    with pytest.raises(UserError):
        make()


# -- population -------------------------------------------------------------------------------------------------------


def test_bohtes_numbers():
    code = Gaussian(fields=8)
    assert code.centres[[0, -1]] == pytest.approx([-1 / 12, 13 / 12]) and code.width == pytest.approx(1 / 9)
    assert code.respond([[0.37]])[0, 0, 2:5] == pytest.approx([0.558, 0.916, 0.158], abs=5e-4)
    x = np.linspace(0, 1, 201)[None]
    events = code.encode(x, steps=10, dt=1e-3)
    error = code.decode(events).numpy() - x
    assert np.sqrt((error**2).mean()) == pytest.approx(0.0065, abs=5e-5)
    assert np.abs(error).max() == pytest.approx(0.0158, abs=1e-4)
    active = events.dense().sum((0, 3))
    assert active.min() >= 2 and active.max() <= 4


def test_the_last_tenth_does_not_fire():
    code = Gaussian(fields=8)
    events = code.encode(np.linspace(0, 1, 101)[None], steps=100, dt=1e-3)
    first = latency.first_steps(events).numpy()
    assert first.max() == 90
    late = np.rint((1 - code.respond(np.linspace(0, 1, 101)[None])) * 100) > 90
    assert np.array_equal(first < 0, late)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e3), st.integers(3, 12), st.floats(0, 1))
def test_population_of_any_range(low, span, fields, part):
    code = Gaussian(fields=fields, low=low, high=low + span)
    x = np.array([[np.clip(low + part * span, low, low + span)]])
    found = code.decode(code.encode(x, steps=1000, dt=1e-4)).double().numpy()
    assert np.abs(found - x).max() < 0.5 * span / (fields - 2)
    assert code.centres[0] < low and code.centres[-1] > low + span


def test_population_refuses():
    with pytest.raises(UserError, match=r"\[-1, 1\]"):
        Gaussian(low=-1.0).encode([[2.0]], steps=10, dt=1e-3)
    with pytest.raises(UserError, match="fields >= 3"):
        Gaussian(fields=2)
    with pytest.raises(UserError, match="low < high"):
        Gaussian(low=1.0, high=0.0)
    with pytest.raises(UserError, match=r"\(T, B, \*N, 8\)"):
        Gaussian().decode(latency.linear([[0.5]], steps=5, dt=1e-3))


# -- direct -----------------------------------------------------------------------------------------------------------


def test_a_constant_current_passes_its_layer_once():
    g = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(4, 3)
    x = torch.rand(2, 4, generator=g, requires_grad=True)
    once = direct.repeat(x, steps=5, layer=layer)
    every = layer(direct.repeat(x, steps=5))
    assert once.shape == (5, 2, 3) and torch.allclose(once, every)
    assert torch.equal(once[0], once[4])
    grads = [torch.autograd.grad(y.square().sum(), [x, layer.weight]) for y in (once, every)]
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(*grads, strict=True))


def test_direct_coding_learns_through_snnkit_layers():
    import snnkit

    layer, neuron = snnkit.Linear(4, 3), snnkit.LIF(tau=20e-3, dt=1e-3)
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(1)) * 2
    with torch.no_grad():
        layer.weight.fill_(0.1)
    counts = [neuron(direct.repeat(x, steps=T, layer=layer)).sum().item() for T in (1, 4, 16, 64)]
    assert counts == sorted(counts) and counts[-1] > counts[0]
    neuron(direct.repeat(x, steps=8, layer=layer)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_direct_refuses():
    with pytest.raises(UserError, match=r"x\[None\]"):
        direct.repeat(torch.rand(3), steps=2)
    with pytest.raises(UserError, match="finite"):
        direct.repeat(torch.tensor([[float("inf")]]), steps=2)
    with pytest.raises(UserError, match="layer over"):
        direct.repeat(torch.rand(2, 3), steps=2, layer=lambda x: x.sum())


# -- beside snnTorch --------------------------------------------------------------------------------------------------


def test_latencies_are_snntorchs():
    spikegen = pytest.importorskip("snntorch.spikegen")
    x = torch.rand(3, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = spikegen.latency(x, num_steps=50, linear=True, normalize=True, tau=1)
    assert torch.equal(latency.linear(x, steps=50, dt=1e-3).dense(), theirs.float())
    theirs = spikegen.latency(x, num_steps=200, tau=20.0, threshold=0.05, clip=True, bypass=True)
    ours = latency.Charging(tau=20e-3, threshold=0.05).encode(x, steps=200, dt=1e-3)
    assert torch.equal(ours.dense(), theirs.float())
    assert 0 < (x <= 0.05).sum() == latency.report(ours).silent.sum()
    lifted = spikegen.latency(x, num_steps=400, tau=20.0, threshold=0.05, bypass=True)
    assert (lifted.sum(0) == 1).all()  # unless told to clip, what is below the threshold fires, late
