"""The Heidelberg cochlea: membrane against quadrature and resonances, hair cells against Meddis' figures, spikes on tones."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hankel1

from snnkit.encoders.cochlea_heidelberg import HeidelbergCochlea
from snnkit.encoders.hair_cell import Meddis, release
from snnkit.encoders.membrane import Membrane, hankel
from snnkit.errors import UserError

EAR = HeidelbergCochlea(rate=20000.0, channels=100, ramp=5e-3)


def tone(frequency, seconds=0.2, rate=20000):
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


# -- membrane ----------------------------------------------------------------------------------------------------------


def test_five_places_resonate_where_they_should():
    np.testing.assert_allclose(
        Membrane().resonance([0, 1, 2, 3, 3.5]), [22.5e3, 5.02e3, 1.12e3, 246, 110], rtol=0.005
    )
    places = Membrane().places(700)
    assert places[0] == 0 and places[-1] == 3.5 and (np.diff(Membrane().resonance(places)) < 0).all()


@pytest.mark.parametrize("omega", [60.0, 600.0, 6000.0, 60000.0])
@pytest.mark.parametrize("place", [0.5, 2.0, 3.4])
def test_the_closed_form_is_the_integral(omega, place):
    m = Membrane()

    def g(c):
        R0 = m.delta * np.sqrt(m.C0 * m.m)
        S, R = m.C0 * np.exp(-m.alpha * c) - m.a, R0 * np.exp(-m.alpha * c / 2)
        return omega * np.sqrt(m.rho / (m.h * (S - m.m * omega**2 - 1j * omega * R)))

    parts = [quad(lambda c, f=f: f(g(c)), 0, place, limit=500)[0] for f in (np.real, np.imag)]
    expected = 2 * g(0) / m.alpha + parts[0] + 1j * parts[1]
    assert m.wave(np.array(omega), np.array(place))[2] == pytest.approx(expected, rel=1e-6)


def test_hankels_function_near_and_far():
    z = np.array([0.1 + 0.01j, 3 + 1j, 24 + 2j, 26 + 1j, 40 + 30j, 300 + 0.1j])
    np.testing.assert_allclose(hankel(z), hankel1(0, z), rtol=1e-10)
    assert hankel(np.array([10 + 70j]))[0] == 0


@pytest.mark.parametrize("frequency", [300.0, 1120.0, 3000.0])
def test_a_tone_moves_its_place_most(frequency):
    m = Membrane()
    v, rate = m.velocity(tone(frequency), 20000.0, 100)
    assert rate == 10000 and v.shape == (100, 2000)
    places = m.places(100)
    peak = places[v[:, 500:1500].std(1).argmax()]
    assert abs(peak - places[np.abs(m.resonance(places) - frequency).argmin()]) <= 0.025 * 3.5
    spectrum = np.abs(np.fft.rfft(v[np.abs(m.resonance(places) - frequency).argmin(), 500:1500]))
    assert abs(spectrum.argmax() * 10 - frequency) <= 10  # and at its frequency: half the rate, true time


def test_longer_silence_after_the_sound_changes_nothing():
    clip = tone(700.0, 0.1) * np.hanning(2000)
    short, _ = Membrane().velocity(np.pad(clip, (0, 1000)), 20000.0, 20)
    long, _ = Membrane().velocity(np.pad(clip, (0, 9000)), 20000.0, 20)
    # a clip of n points comes back as n/2 + 1: the end is off by up to one sample, and here that is 0.4 rad
    assert np.abs(short - long[:, :1500]).max() < 0.1 * np.abs(short).max()


# -- hair cell ---------------------------------------------------------------------------------------------------------


def test_silence_gives_64_8_spikes_per_second():
    assert Meddis().spontaneous() == pytest.approx(64.8, abs=0.05)
    np.testing.assert_allclose(release(np.zeros((2, 3000)), 1e-4), Meddis().spontaneous(), rtol=1e-9)


def test_the_ceiling_is_100_spikes_per_second():
    assert Meddis().steady(1e9) == pytest.approx(100, abs=0.7)
    drive = release(np.full((1, 80000), 1e6), 5e-5)[0]
    assert drive[-1] == pytest.approx(Meddis().steady(1e6), rel=1e-3)
    assert drive.max() > 5 * drive[-1]  # an onset far above what it settles at


def naive_release(s, dt, m):
    k = m.g * m.A / (m.A + m.B)
    c = m.M * m.y * k / (m.l * k + m.y * (m.l + m.r))
    q, w, out = c * (m.l + m.r) / k, c * m.r / m.x, []
    for v in s:
        k = m.g * (v + m.A) / (v + m.A + m.B) if v + m.A > 0 else 0.0
        q, c, w = (
            q + dt * (m.y * max(m.M - q, 0) + m.x * w - k * q),
            c + dt * (k * q - (m.l + m.r) * c),
            w + dt * (m.r * c - m.x * w),
        )
        out.append(m.h * c)
    return out


def test_hair_cells_agree_with_their_naive_twin():
    s = 50 * np.random.default_rng(0).normal(size=(3, 400))
    np.testing.assert_allclose(release(s, 5e-5), [naive_release(row, 5e-5, Meddis()) for row in s], rtol=1e-9)


def test_steps_too_long_for_eulers_rule_are_refused():
    with pytest.raises(UserError, match="too long for a hair cell"):
        release(np.zeros((1, 5)), 1e-3)
    with pytest.raises(UserError, match="too long for a hair cell"):
        HeidelbergCochlea(inner=8000.0)


# -- nerve and bushy cell ----------------------------------------------------------------------------------------------


def test_one_uniform_number_draws_a_binomial_one():
    from scipy.stats import binom

    from snnkit.kernels.encoders.nerve import binomial

    for n, p in ((40, 0.02), (40, 0.6), (3, 0.5), (0, 0.5)):
        u = (np.arange(4000) + 0.5) / 4000
        counts = np.bincount([binomial(n, p, x) for x in u], minlength=n + 1) / 4000
        np.testing.assert_allclose(counts, binom.pmf(np.arange(n + 1), n, p), atol=6e-4)
    assert binomial(7, 1.0, 0.3) == 7


def naive_nerve(s, dt, ear, rng):
    """Every fibre by itself: how often a bushy cell fires."""
    rates, spikes = naive_release(s, dt, ear.hair), 0
    busy, i, v, wait = np.zeros(ear.fibres), 0.0, 0.0, 0
    for rate in rates:
        fires = (busy <= 0) & (rng.random(ear.fibres) < rate * dt)
        busy = np.where(fires, round(ear.fibre_rest / dt) - 1, busy - 1)
        i = (
            i * np.exp(-dt / ear.tau_synapse)
            + ear.weight
            / ear.fibres
            * ear.tau_synapse
            / dt
            * (1 - np.exp(-dt / ear.tau_synapse))
            * fires.sum()
        )
        if wait:
            wait -= 1
            continue
        v = v * np.exp(-dt / ear.tau_membrane) + i * ear.tau_membrane * (1 - np.exp(-dt / ear.tau_membrane))
        if v >= 1:
            spikes, v, wait = spikes + 1, 0.0, round(ear.refractory / dt)
    return spikes


def test_channels_fire_as_often_as_fibre_by_fibre():
    from snnkit.kernels.encoders.nerve import nerve

    dt, cells = 1e-4, 300
    s = np.tile(30 * np.clip(np.sin(2 * np.pi * 200 * np.arange(2000) * dt), 0, None), (cells, 1))
    keep_i, keep_v = np.exp(-dt / EAR.tau_synapse), np.exp(-dt / EAR.tau_membrane)
    weight = EAR.weight / 40 * EAR.tau_synapse / dt * (1 - keep_i)
    rests = (10, weight, keep_i, EAR.tau_membrane * (1 - keep_v), keep_v, 10)
    when, where = nerve(s, dt, EAR.hair.constants(), 40, *rests, np.uint64(1), np.uint64(0))
    counts = np.bincount(where, minlength=cells)
    rng = np.random.default_rng(0)
    naive = np.array([naive_nerve(s[0], dt, EAR, rng) for _ in range(12)])
    error = np.sqrt(counts.var() / cells + naive.var() / 12)
    assert counts.mean() > 5 and abs(counts.mean() - naive.mean()) < 4 * error
    for n in range(0, cells, 50):
        assert np.diff(when[where == n]).min() > 10


def test_silence_is_nearly_silent():
    events = EAR(np.zeros(40000))
    assert 0 < len(events) / 100 / 2.0 < 5  # Hz per channel


@pytest.mark.parametrize("frequency", [300.0, 1120.0, 3000.0])
def test_a_tones_place_fires_most(frequency):
    events = EAR(tone(frequency))
    counts = np.convolve(np.bincount(events.x, minlength=100), np.ones(5) / 5, "same")
    assert abs(counts.argmax() - np.abs(EAR.frequencies() - frequency).argmin()) <= 5
    assert counts.max() > 5 * counts.min()


def test_spikes_lock_to_the_onset_of_a_sound():
    clip = np.concatenate([np.zeros(4000), tone(500.0, 0.2)])
    events = EAR(clip)
    rate = np.bincount((events.t // 10_000).astype(int), minlength=40)
    assert (
        rate[19:23].argmax() in (1, 2)
        and rate[20:22].max() > 1.3 * rate[30:38].mean() > 3 * rate[5:19].mean()
    )


def test_seeds_keys_and_batches():
    clip = tone(700.0, 0.1)
    one, same, other = EAR(clip), EAR(clip), EAR(clip, key=1)
    assert one.t.tolist() == same.t.tolist() != other.t.tolist()
    batch = EAR.batch([clip, clip])
    assert batch[1].t.tolist() == other.t.tolist() and batch.sensor == (1, 1, 100)
    assert EAR.batch([clip], keys=[1])[0].t.tolist() == other.t.tolist()
    assert len(EAR(np.zeros(0))) == 0 and len(EAR(np.zeros(1))) == 0
    assert EAR(clip, rate=20000).t.tolist() == one.t.tolist()


def test_ramps_are_half_of_the_clip_unless_told_otherwise():
    from snnkit.encoders.cochlea_heidelberg import _ramped

    ones = np.ones(1000)
    whole = _ramped(ones, 1e4, None)
    assert whole[0] == 0 and whole[499] > 0.99 and np.allclose(whole, whole[::-1])
    np.testing.assert_array_equal(_ramped(ones, 1e4, 1e-2)[100:900], 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"channels": 1}, "channels"), ({"tau_synapse": 0.0}, "in seconds"), ({"seed": 0.5}, "whole number")],
)
def test_bad_parameters_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        HeidelbergCochlea(**options)
    with pytest.raises(UserError, match="stiffness"):
        Membrane(length=5.0)
