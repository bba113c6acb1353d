"""Codes of signals against their closed forms, and against figures measured on a sum of two tones."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnkit.encoders import (
    BSA,
    DeltaModulator,
    Hough,
    Messages,
    MovingWindow,
    Scale,
    SendOnDelta,
    SigmaDelta,
    SignedSigmaDelta,
    StepForward,
    TemporalContrast,
    bsa,
    delta,
    noise_rms,
    snr,
    spike_rate,
    threshold_for,
)
from snnkit.errors import UserError
from snnkit.events import EventTensor

DT = 1e-3
t = np.arange(2000) * DT
TONES = (0.5 + 0.25 * np.sin(2 * np.pi * 2 * t) + 0.15 * np.sin(2 * np.pi * 5 * t + 1)).reshape(-1, 1, 1)
FAST = (0.5 + 0.4 * np.sin(2 * np.pi * 20 * t)).reshape(-1, 1, 1)
signals = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 2), st.integers(1, 3)),
    elements=st.floats(-100, 100),
)
unit_signals = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 60), st.integers(1, 2), st.integers(1, 2)), elements=st.floats(0, 1)
)


def column(values):
    return np.asarray(values, dtype=float).reshape(-1, 1, 1)


def spikes(events):
    return float(events.dense().abs().sum())


# -- send-on-delta and step-forward -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theta", "count", "decibels", "formula"),
    [(0.01, 651, 31.3, 31.1), (0.02, 311, 25.4, 25.0), (0.05, 115, 17.7, 17.1)],
)
def test_send_on_delta_as_measured(theta, count, decibels, formula):
    code = SendOnDelta(threshold=theta)
    events = code.encode(TONES, dt=DT)
    found = code.decode(events, start=TONES[0])
    assert spikes(events) == count
    assert snr(TONES, found) == pytest.approx(decibels, abs=0.06)
    assert 10 * np.log10(3 * TONES.var() / theta**2) == pytest.approx(formula, abs=0.06)
    assert np.abs(found.numpy() - TONES).max() <= theta


@settings(max_examples=60, deadline=None)
@given(signals, st.floats(0.01, 50))
def test_send_on_delta_is_never_off_by_a_threshold(s, theta):
    code = SendOnDelta(threshold=theta)
    events = code.encode(s, dt=DT)
    EventTensor(events.rowptr, events.indices, events.values, events.shape, events.dt)  # checks its arrays
    found = code.decode(events, start=s[0]).numpy()
    assert np.abs(found - s).max() < theta * (1 + 1e-6)
    assert not events.dense()[0].any()
    variation = np.abs(np.diff(s, axis=0)).sum(0) / theta
    moves = np.diff(s, axis=0)
    turns = (np.sign(moves[1:]) * np.sign(moves[:-1]) != 1).sum(0) + 1
    counts = events.dense().abs().sum(0).numpy()
    assert (counts <= variation + 1e-3).all() and (counts >= variation - turns - 1 - 1e-3).all()


@settings(max_examples=60, deadline=None)
@given(signals, st.floats(0.05, 50))
def test_kernels_match_their_naive_twins(s, theta):
    level = np.zeros(s.shape[1:])
    many, one, base = np.zeros_like(s), np.zeros_like(s), s[0].copy()
    for n in range(len(s)):
        many[n] = np.trunc((s[n] - s[0]) / theta - level)
        level += many[n]
    level = np.zeros(s.shape[1:])
    for n in range(len(s)):
        away = (s[n] - s[0]) / theta - level
        one[n] = np.where(np.abs(away) > 1, np.sign(away), 0)
        level += one[n]
    assert np.array_equal(SendOnDelta(threshold=theta).encode(s, dt=DT).dense().numpy(), many)
    assert np.array_equal(StepForward(threshold=theta).encode(s, dt=DT).dense().numpy(), one)
    assert np.array_equal(base, s[0])


def test_step_forward_is_send_on_delta_without_overload_and_worse_with_it():
    theta = float(delta.steepest(TONES)[0]) * 1.01
    both = [c(threshold=theta).encode(TONES, dt=DT) for c in (SendOnDelta, StepForward)]
    assert both[0].equal(both[1])
    measured = {0.02: (2.1, 27.4), 0.05: (18.1, 18.65)}
    for theta, expected in measured.items():
        codes = [c(threshold=theta) for c in (StepForward, SendOnDelta)]
        found = [snr(FAST, c.decode(c.encode(FAST, dt=DT), start=FAST[0])) for c in codes]
        assert found == pytest.approx(expected, abs=0.1)


def test_ramps_sines_and_constants():
    slope, theta = 3.0, 0.07
    ramp = column(slope * t)
    for code in (SendOnDelta(threshold=theta), StepForward(threshold=theta), DeltaModulator(up=theta)):
        up = code.encode(ramp, dt=DT).dense()
        assert (up >= 0).all()
        if not isinstance(code, DeltaModulator):  # it resets to the sample, past the threshold
            assert abs(float(up.sum()) - np.floor(slope * t[-1] / theta)) <= 1
        assert code.encode(np.full((50, 2, 3), 0.3), dt=DT).nnz == 0
    amplitude, periods = 1.0, 4
    sine = column(amplitude * np.sin(2 * np.pi * periods / 2 * t))
    per_period = spikes(SendOnDelta(threshold=0.01).encode(sine, dt=DT)) / periods
    assert abs(per_period - 4 * amplitude / 0.01) <= 3


def test_missing_and_clipped_samples_do_not_emit():
    s = column([np.nan, 1.0, np.nan, 4.0, np.inf, 99.0, 2.0])
    for code, expected in (
        (SendOnDelta(threshold=1.0, limits=(-10, 10)), [0, 0, 0, 3, 0, 0, -2]),
        (StepForward(threshold=1.0, limits=(-10, 10)), [0, 0, 0, 1, 0, 0, 0]),
        (DeltaModulator(up=1.0, limits=(-10, 10)), [0, 0, 0, 1, 0, 0, -1]),
        (TemporalContrast(threshold=1.0, limits=(-10, 10)), [0, 0, 0, 0, 0, 0, 0]),
    ):
        assert code.encode(s, dt=DT).dense().flatten().tolist() == expected, code
    assert SendOnDelta(threshold=1.0).encode(np.full((4, 1, 1), np.nan), dt=DT).nnz == 0
    assert delta.first(s).item() == 1 and delta.first(np.full((4, 1, 1), np.nan)).item() == 0
    code = SendOnDelta(threshold=1.0, limits=(-10, 10))
    assert code.decode(code.encode(s, dt=DT), start=delta.first(s)).flatten().tolist() == [
        1,
        1,
        1,
        4,
        4,
        4,
        2,
    ]


def test_recordings_may_be_cut_anywhere():
    code, s = SendOnDelta(threshold=0.25), np.round(TONES * 64) / 64
    whole = code.encode(s, dt=DT)
    for cut in (1, 700, 1999):
        head = code.encode(s[:cut], dt=DT)
        start = code.decode(head, start=s[0])[-1]
        tail = code.encode(s[cut:], dt=DT, start=start)
        assert whole[:cut].equal(head) and np.array_equal(whole.dense()[cut:], tail.dense())


def test_contrast_is_relative():
    code = SendOnDelta(threshold=0.2, eps=0.0)
    step = column([50.0, 200.0])
    assert code.encode(step, dt=DT).dense().flatten().tolist() == [0, 6]  # floor(ln 4 / 0.2)
    assert code.encode(step * 7, dt=DT).equal(code.encode(step, dt=DT))
    found = code.decode(code.encode(TONES + 0.1, dt=DT), start=TONES[0] + 0.1).numpy()
    assert np.abs(np.log(found / (TONES + 0.1))).max() < 0.2
    with pytest.raises(UserError, match="s \\+ eps > 0"):
        code.encode(column([0.0, 1.0]), dt=DT)


def test_crossings_lie_on_the_line_between_samples():
    code = SendOnDelta(threshold=1.0)
    s = column([0.0, 2.5, 2.5, 0.4])
    found = code.crossings(s, dt=0.5)
    assert found.t == pytest.approx([0.2, 0.4, 1.0 + 0.5 * 1.5 / 2.1])
    assert found.value.tolist() == [1, 1, -1]
    ramp = column(np.linspace(0, 10, 37))
    times = code.crossings(ramp, dt=0.1).t
    assert times == pytest.approx(np.arange(1, 11) * 3.6 / 10)


@settings(max_examples=40, deadline=None)
@given(signals, st.floats(0.5, 50))
def test_crossings_are_the_events_of_the_samples(s, theta):
    code = SendOnDelta(threshold=theta)
    found = code.crossings(s, dt=1.0)
    sums = np.zeros(s.shape[1:]).reshape(len(s[0]), -1)
    np.add.at(sums, (np.repeat(np.arange(s.shape[1]), np.diff(found.offsets)), found.channel), found.value)
    assert np.array_equal(sums, code.encode(s, dt=1.0).dense().sum(0).flatten(1).numpy())
    assert (found.t >= 0).all() and (found.t <= len(s) - 1 + 1e-9).all()


def test_thresholds_per_channel_and_two_scales():
    s = np.repeat(TONES, 2, axis=2) + np.zeros((1, 3, 1))
    events = SendOnDelta(threshold=[0.02, 0.05]).encode(s, dt=DT)
    counts = events.dense().abs().sum(0)
    assert counts.tolist() == [[311.0, 115.0]] * 3
    with pytest.raises(UserError, match="broadcasts to the channels"):
        SendOnDelta(threshold=[0.1, 0.2, 0.3]).encode(s, dt=DT)


def test_polarities_are_two_channels_and_back():
    s = np.random.default_rng(0).normal(size=(40, 3, 2, 2)).cumsum(0)
    events = SendOnDelta(threshold=0.4).encode(s, dt=DT)
    two = delta.polarities(events)
    EventTensor(two.rowptr, two.indices, two.values, two.shape, two.dt)  # checks its arrays
    dense = events.dense()
    assert two.shape == (40, 3, 2, 2, 2)
    assert torch.equal(two.dense()[:, :, 1], dense.clamp(min=0))
    assert torch.equal(two.dense()[:, :, 0], (-dense).clamp(min=0))
    assert delta.signed(two).equal(events)
    with pytest.raises(UserError, match="2"):
        delta.signed(SendOnDelta(threshold=0.4).encode(s[:, :, :1], dt=DT))


# -- modulator, window, contrast --------------------------------------------------------------------------------------


def test_modulator_resets_to_the_signal_and_waits():
    s = column([0, 2.5, 2.9, 4.0, 4.0, 1.0, 0.0, -3.0])
    assert DeltaModulator(up=1.0).encode(s, dt=DT).dense().flatten().tolist() == [0, 1, 0, 1, 0, -1, -1, -1]
    slow = DeltaModulator(up=1.0, refractory=3e-3).encode(s, dt=DT).dense().flatten()
    assert slow.tolist() == [0, 1, 0, 0, 1, 0, 0, -1]
    uneven = DeltaModulator(up=1.0, down=3.5).encode(s, dt=DT)
    assert uneven.dense().flatten().tolist() == [0, 1, 0, 1, 0, 0, -1, 0]
    found = DeltaModulator(up=1.0, down=3.5).decode(uneven, start=s[0]).flatten()
    assert found.tolist() == [0, 1, 1, 2, 2, 2, -1.5, -1.5]


@settings(max_examples=30, deadline=None)
@given(signals, st.integers(0, 6))
def test_modulator_keeps_its_refractory_time(s, dead):
    if dead >= len(s):
        return
    dense = DeltaModulator(up=1.0, refractory=dead * DT).encode(s, dt=DT).dense().flatten(1).numpy()
    for channel in dense.T:
        gaps = np.diff(np.flatnonzero(channel))
        assert len(gaps) == 0 or gaps.min() >= max(dead, 1)


def test_refractory_in_milliseconds_is_refused():
    with pytest.raises(UserError, match=r"0\.001"):
        DeltaModulator(up=0.1, refractory=1.0).encode(TONES[:500], dt=DT)


@settings(max_examples=30, deadline=None)
@given(signals, st.floats(0.1, 20), st.integers(1, 5))
def test_moving_window_matches_its_naive_twin(s, theta, window):
    code = MovingWindow(threshold=theta, window=window)
    expected, r = np.zeros_like(s), np.zeros_like(s)
    r[0] = s[0]
    for n in range(1, len(s)):
        away = s[n] - np.mean(s[max(0, n - window) : n], axis=0)
        clear = np.abs(np.abs(away) - theta) > 1e-9
        expected[n] = np.where(np.abs(away) > theta, np.sign(away), 0)
        if not clear.all():
            return
        r[n] = np.mean(r[max(0, n - window) : n], axis=0) + theta * expected[n]
    events = code.encode(s, dt=DT)
    assert np.array_equal(events.dense().numpy(), expected)
    assert np.allclose(code.decode(events, start=s[0]).numpy(), r)


def test_lossy_codes_as_measured():
    window = MovingWindow(threshold=0.02, window=10)
    events = window.encode(TONES, dt=DT)
    assert snr(TONES, window.decode(events, start=TONES[0])) == pytest.approx(6.7, abs=0.06)
    assert snr(TONES, TONES[0] + 0.02 * events.dense().cumsum(0).numpy()) < 0
    contrast = TemporalContrast(factor=1.0)
    events = contrast.encode(TONES, dt=DT)
    found = contrast.decode(events, thresholds=contrast.thresholds(TONES), start=TONES[0])
    assert spikes(events) == 761 and snr(TONES, found) == pytest.approx(7.6, abs=0.06)


def test_contrast_thresholds_are_mean_and_deviation():
    s = np.random.default_rng(1).normal(size=(200, 2, 3)).cumsum(0)
    d = np.diff(s, axis=0)
    theta = TemporalContrast(factor=1.2).thresholds(s)
    assert np.allclose(theta, d.mean(0) + 1.2 * d.std(0))
    dense = TemporalContrast(factor=1.2).encode(s, dt=DT).dense().numpy()
    assert np.array_equal(dense[1:], np.where(d > theta, 1, np.where(d < -theta, -1, 0)))
    assert TemporalContrast().encode(np.ones((20, 1, 1)), dt=DT).nnz == 0
    with pytest.raises(UserError, match="trend"):
        TemporalContrast(factor=0.1).encode(column(-t), dt=DT)


# -- sigma-delta ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(unit_signals)
def test_sigma_delta_never_owes_a_spike(s):
    sums = SigmaDelta().encode(s, dt=DT).dense(torch.float64).cumsum(0).numpy()
    owed = s.cumsum(0) - sums
    assert owed.min() >= -1e-6 and owed.max() < 1


@pytest.mark.parametrize(("ratio", "decibels"), [(16, 18.1), (64, 30.2)])
def test_oversampling_gains_as_measured(ratio, decibels):
    fine = np.arange(2000 * ratio) * DT / ratio
    s = column(0.5 + 0.25 * np.sin(2 * np.pi * 2 * fine) + 0.15 * np.sin(2 * np.pi * 5 * fine + 1))
    events = SigmaDelta().encode(s, dt=DT / ratio)
    truth = s.reshape(2000, ratio, 1, 1).mean(1)
    assert snr(truth, SigmaDelta().decode(events, ratio=ratio)) == pytest.approx(decibels, abs=0.25)


def test_a_triangle_gains_more_than_a_mean():
    for ratio in (8, 16):
        fine = np.arange(500 * ratio) * 4 * DT / ratio
        s = column(0.5 + 0.25 * np.sin(2 * np.pi * 0.5 * fine + 0.3))
        events = SigmaDelta().encode(s, dt=4 * DT / ratio)
        truth = s.reshape(500, ratio, 1, 1).mean(1)[2:-2]
        first, second = (snr(truth, SigmaDelta().decode(events, ratio=ratio, order=k)[2:-2]) for k in (1, 2))
        assert second > first + 6
    held = SigmaDelta().encode(np.full((64, 1, 1), 0.25), dt=DT)
    assert np.allclose(SigmaDelta().decode(held, ratio=16, order=2)[1:-1], 0.25, atol=0.01)
    with pytest.raises(UserError, match="ratio"):
        SigmaDelta().decode(held, ratio=65)


def test_signed_sigma_delta_tracks_and_its_error_does_not_add_up():
    s = TONES * 2 - 1
    for tau, decibels in ((5e-3, 13), (10e-3, 17)):
        code = SignedSigmaDelta(tau=tau)
        found = code.decode(code.encode(s, dt=DT)).numpy()
        assert snr(s, found) > decibels
        assert np.abs(np.cumsum(s - found)).max() < 1
    with pytest.raises(UserError, match="dt < tau"):
        SignedSigmaDelta(tau=10e-3).encode(s, dt=1.0)


@settings(max_examples=60, deadline=None)
@given(signals, st.floats(0.1, 50), st.booleans())
def test_messages_add_up_to_the_signal(s, theta, rounded):
    code = Messages(threshold=theta, rounded=rounded)
    events = code.encode(s, dt=DT)
    error = np.abs(code.decode(events).numpy() - s).max()
    assert error <= (theta / 2 if rounded else theta) + 1e-4
    if rounded:
        ratio = events.dense(torch.float64).numpy() / theta
        assert np.abs(ratio - np.rint(ratio)).max() < 1e-3


def test_messages_are_those_of_the_layer():
    import snnkit

    s = torch.randn(30, 2, 5, generator=torch.Generator().manual_seed(0)).cumsum(0)
    for send, rounded in (("round", True), ("graded", False)):
        layer = snnkit.DeltaEncoder(threshold=0.5, send=send, dt=DT)
        ours = Messages(threshold=0.5, rounded=rounded).encode(s, dt=DT).dense()
        assert torch.allclose(layer(s), ours, atol=1e-5)


# -- Ben's spiker -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taps", "cutoff", "decibels"),
    [
        (20, 25.0, {0.8: 14.6, 0.9: 21.9, 0.955: 16.9, 0.98: 12.2}),
        (40, 12.0, {0.8: 12.3, 0.9: 19.0, 0.955: 23.5, 0.98: 12.8}),
    ],
)
def test_bens_spiker_as_measured(taps, cutoff, decibels):
    h = bsa.lowpass(taps=taps, cutoff=cutoff, dt=DT)
    for theta, expected in decibels.items():
        code = BSA(filter=h, threshold=theta)
        found = code.decode(code.encode(TONES, dt=DT))
        assert snr(TONES[taps:-taps], found[taps:-taps]) == pytest.approx(expected, abs=0.3)
    best = bsa.scan(h, TONES, dt=DT)
    assert 0.9 <= best.threshold <= 0.96
    assert snr(TONES[taps:-taps], best.decode(best.encode(TONES, dt=DT))[taps:-taps]) > 20


def test_an_additive_threshold_near_zero_is_a_mistake():
    h = bsa.lowpass(taps=20, cutoff=25.0, dt=DT)
    code = BSA(filter=h, threshold=0.0)
    events = code.encode(TONES, dt=DT)
    assert events.nnz > 1500 and snr(TONES[20:-20], code.decode(events)[20:-20]) < 0


def test_houghs_spiker_is_bens_at_the_sum_of_its_filter():
    h = bsa.lowpass(taps=20, cutoff=25.0, dt=DT)
    events = Hough(filter=h).encode(TONES, dt=DT)
    assert events.equal(BSA(filter=h, threshold=1.0).encode(TONES, dt=DT))
    found = Hough(filter=h).decode(events).numpy()
    assert snr(TONES[20:-20], found[20:-20]) == pytest.approx(7.5, abs=0.06)
    assert (found <= TONES + 1e-9).all()


@settings(max_examples=25, deadline=None)
@given(unit_signals, st.integers(2, 6), st.floats(0, 1))
def test_spikers_match_their_naive_twins(s, taps, theta):
    if len(s) < taps:
        return
    h = bsa.lowpass(taps=taps, cutoff=100.0, dt=DT)
    ben, hough = np.zeros_like(s), np.zeros_like(s)
    for b, n in np.ndindex(*s.shape[1:]):
        for out, left in ((ben, s[:, b, n].copy()), (hough, s[:, b, n].copy())):
            for k in range(len(s) - taps + 1):
                part = left[k : k + taps]
                gain = np.abs(part).sum() - np.abs(part - h).sum() - theta if out is ben else (part - h).min()
                if abs(gain) < 1e-9:
                    return  # a tie, which rounding decides
                if gain >= 0:
                    out[k, b, n] = 1
                    part -= h
    events = BSA(filter=h, threshold=theta).encode(s, dt=DT)
    assert np.array_equal(events.dense().numpy(), ben)
    assert np.array_equal(Hough(filter=h).encode(s, dt=DT).dense().numpy(), hough)
    full = np.zeros_like(s)
    for k in range(taps):
        full[k:] += h[k] * ben[: len(s) - k]
    assert np.allclose(BSA(filter=h).decode(events).numpy(), full)


def test_lowpass_is_one():
    h = bsa.lowpass(taps=20, cutoff=25.0, dt=DT)
    assert h.sum() == pytest.approx(1) and np.allclose(h, h[::-1])
    with pytest.raises(UserError, match="500 Hz"):
        bsa.lowpass(taps=20, cutoff=600.0, dt=DT)
    with pytest.raises(UserError, match="sum"):
        BSA(filter=np.ones(20))


# -- around them ------------------------------------------------------------------------------------------------------


def test_threshold_for_a_rate_and_for_a_ratio():
    theta = threshold_for(lambda th: SendOnDelta(threshold=th), TONES, dt=DT, rate=100.0)
    assert spike_rate(SendOnDelta(threshold=theta).encode(TONES, dt=DT)) == pytest.approx(100, rel=0.02)
    theta = threshold_for(lambda th: SendOnDelta(threshold=th), TONES, dt=DT, snr_db=25.0)
    code = SendOnDelta(threshold=theta)
    assert 25 <= snr(TONES, code.decode(code.encode(TONES, dt=DT), start=TONES[0])) < 25.5
    with pytest.raises(UserError, match="no threshold"):
        threshold_for(lambda th: SendOnDelta(threshold=th), TONES, dt=DT, snr_db=500.0)
    with pytest.raises(UserError, match="either"):
        threshold_for(lambda th: SendOnDelta(threshold=th), TONES, dt=DT)


def test_scales_come_from_training_data():
    train, test = np.random.default_rng(0).normal(size=(2, 100, 4, 3)) * [1, 10, 100]
    scale = Scale.fit(train)
    unit = scale.apply(train)
    assert unit.min() == 0 and unit.max() == 1 and np.allclose(scale.invert(unit), train)
    assert scale.apply(test * 5).max() == 1
    narrow = Scale.fit(train, outliers=0.05)
    assert (narrow.low > scale.low).all() and (narrow.high < scale.high).all()
    assert np.isfinite(Scale.fit(np.ones((5, 1, 1))).apply(np.ones((5, 1, 1)))).all()
    with pytest.raises(UserError, match="finite"):
        Scale.fit(np.full((5, 1, 1), np.nan))


def test_noise_and_ratio():
    noise = np.random.default_rng(0).normal(size=(20_000, 1, 2)) * [1.0, 3.0]
    noise[::50] = 100  # bursts hardly count
    assert noise_rms(noise) == pytest.approx([1.0, 3.0], rel=0.06)
    assert snr(TONES, TONES) == np.inf and snr(TONES, TONES + 1e-3) == pytest.approx(
        10 * np.log10(TONES.var() / 1e-6)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SendOnDelta(threshold=0.0), "positive"),
        (lambda: SendOnDelta(threshold=0.1).encode(np.zeros((10, 3)), dt=DT), r"s\[:, None\]"),
        (lambda: SendOnDelta(threshold=1e-12).encode(TONES, dt=DT), "thresholds"),
        (lambda: SendOnDelta(threshold=0.1, limits=(1, 0)), "low < high"),
        (lambda: SendOnDelta(threshold=0.1).encode(TONES, dt=0), "dt"),
        (lambda: SendOnDelta(threshold=0.1).encode(TONES, dt=DT, start=np.zeros((3, 3))), "start"),
        (lambda: MovingWindow(threshold=0.1, window=0), "window"),
        (lambda: MovingWindow(threshold=0.1, window=3).encode(column([0, np.nan]), dt=DT), "finite"),
        (lambda: SigmaDelta().encode(column([0, 1.5]), dt=DT), "1.5"),
        (lambda: SignedSigmaDelta(tau=1e-2).encode(column([0, -1.5]), dt=DT), "-1.5"),
        (lambda: BSA(filter=[1.0]).encode(column([-0.1]), dt=DT), "-0.1"),
        (lambda: BSA(filter=[0.5, 0.5]).encode(column([0.1]), dt=DT), "taps"),
        (lambda: BSA(filter=[1.0], threshold=2.0), "0.955"),
        (lambda: Messages(threshold=1e-9).encode(TONES, dt=DT), "thresholds"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_float32_signals_need_no_copy_and_give_the_same_events():
    s = np.random.default_rng(2).normal(size=(300, 2, 5)).cumsum(0).astype(np.float32)
    for code in (
        SendOnDelta(threshold=0.3),
        StepForward(threshold=0.3),
        DeltaModulator(up=0.3),
        MovingWindow(threshold=0.3, window=4),
        TemporalContrast(),
        Messages(threshold=0.3),
    ):
        assert code.encode(torch.from_numpy(s), dt=DT).equal(code.encode(s.astype(np.float64), dt=DT)), code
    unit = Scale.fit(s).apply(s).astype(np.float32)
    for code in (
        SigmaDelta(),
        SignedSigmaDelta(tau=5e-3),
        BSA(filter=bsa.lowpass(taps=10, cutoff=50.0, dt=DT)),
    ):
        assert code.encode(unit, dt=DT).equal(code.encode(unit.astype(np.float64), dt=DT)), code


def test_a_watch_comes_back_within_its_threshold():
    """Accelerometer and gyroscope of a smartwatch; skipped without the data."""
    root = os.environ.get("SNNKIT_DATA")
    path = Path(root or "") / "har_geotec_sp_sw" / "sp-sw-har-DATA.tar.gz"
    if not root or not path.is_file():
        pytest.skip("no recordings: SNNKIT_DATA/har_geotec_sp_sw")
    with tarfile.open(path) as archive:
        text = archive.extractfile("DATA/s01/s01_01_sw.csv").read().decode()
    table = np.array([row.split(",")[:6] for row in text.splitlines()[1:]], dtype=float)
    s, theta = table[:, None], np.array([0.5, 0.5, 0.5, 0.2, 0.2, 0.2])  # m/s², rad/s
    assert len(s) > 1000 and np.isfinite(s).all()
    code = SendOnDelta(threshold=theta)
    events = code.encode(s, dt=0.01)
    found = code.decode(events, start=s[0]).numpy()
    assert (np.abs(found - s) < theta * (1 + 1e-9)).all()
    assert 0.001 < events.density < 0.8
    assert delta.polarities(events).shape == (len(s), 1, 2, 6)
    for n in range(6):
        one = snr(s[:, :, n], found[:, :, n])
        assert one > 10 * np.log10(s[:, :, n].var() / theta[n] ** 2)  # errors are below θ


def test_changes_are_snntorchs_delta():
    spikegen = pytest.importorskip("snntorch.spikegen")
    s = torch.randn(60, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = spikegen.delta(s, threshold=0.5, padding=True, off_spike=True)
    ours = TemporalContrast(threshold=0.5).encode(s, dt=DT)
    assert torch.equal(ours.dense(), theirs.float())
