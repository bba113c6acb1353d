"""Cochlea front ends: filters against theory, codes against naive twins, ears on tones, silence and real words."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.encoders.cochlea import Cochlea, MelCochlea, SiliconCochlea
from snnkit.encoders.cochlea_codes import Delta, Edges, Fire, Ladder
from snnkit.encoders.gammatone import erb, erb_centres, gammatone
from snnkit.encoders.hair_cell import amplitude
from snnkit.encoders.mel import from_mel, mel, mel_centres, mel_energy, pcen
from snnkit.errors import UserError

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere"))
EARS = [
    Cochlea(channels=32),
    Cochlea(channels=32, power=1, cutoff=100.0, code=Edges()),
    Cochlea(channels=32, power=1, cutoff=50.0, code=Delta()),
    MelCochlea(),
    MelCochlea(code=Edges()),
    MelCochlea(code=Delta()),
    MelCochlea(code=Ladder()),
    SiliconCochlea(),
]


def tone(frequency, seconds=0.3, rate=16000, level=0.1):
    return level * np.sqrt(2) * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def word(seconds=0.6, rate=16000, seed=0):
    """Bursts of harmonics between silences."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 140 * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))
    return 0.05 * voice * np.clip(np.sin(2 * np.pi * t / 0.3), 0, None)


# -- gammatone ---------------------------------------------------------------------------------------------------------


def test_erb_and_the_centres():
    assert erb(1000.0) == pytest.approx(132.6, abs=0.05)
    np.testing.assert_allclose(erb([100, 1e3, 8e3]), np.array([100, 1e3, 8e3]) / 9.26449 + 24.7, rtol=1e-5)
    centres = erb_centres(64, 100, 8000)
    np.testing.assert_allclose(centres[[0, 1, -2, -1]], [7596.2, 7212.3, 117.0, 100.0], atol=0.06)
    steps = np.diff(9.26449 * np.log(1 + centres / (9.26449 * 24.7)))
    np.testing.assert_allclose(steps, steps[0])  # even on the ERB scale


def test_the_filter_has_gain_1_and_the_width_and_delay_of_theory():
    click = np.zeros(16000)
    click[0] = 1
    h = gammatone(click, 16000, [1000.0])[:, 0]
    gain = 20 * np.log10(np.abs(np.fft.rfft(h)))  # 1 Hz grid
    assert abs(gain[1000]) < 0.1
    assert abs((gain >= -3.0103).sum() - 0.887 * 132.6) < 3
    b = 1.019 * 132.6
    assert np.abs(h).argmax() / 16 == pytest.approx(3 / (2 * np.pi * b) * 1e3, abs=0.1)  # 3.53 ms


@pytest.mark.parametrize("channel", [0, 17, 40, 63])
def test_a_tone_excites_its_own_channel_most(channel):
    centres = erb_centres(64, 100, 7600)
    rms = gammatone(tone(centres[channel]), 16000, centres)[1600:].std(0)
    assert rms.argmax() == channel and rms[channel] == pytest.approx(0.1, rel=0.01)


def test_the_bank_is_four_biquads_in_cascade_and_stable_at_low_frequencies():
    from scipy.signal import lfilter

    from snnkit.encoders.gammatone import coefficients

    x = np.random.default_rng(0).normal(size=2000)
    centres = np.array([100.0, 3000.0])
    a0, a1, b1, b2, gain = coefficients(centres, 44100)
    out = gammatone(x, 44100, centres)
    for c in range(2):
        y = gain[c] * x
        for stage in range(4):
            y = lfilter([a0, a1[stage, c]], [1, b1[c], b2[c]], y)
        np.testing.assert_allclose(out[:, c], y, rtol=1e-7, atol=1e-12)
    long = gammatone(np.random.default_rng(0).normal(size=44100), 44100, [100.0])
    assert np.abs(long).max() < 10


def test_rectifier_compression_and_smoothing():
    y = np.array([[-1.0], [0.5], [0.5]])
    np.testing.assert_allclose(amplitude(y, 1e3, power=0.3, cutoff=0)[:, 0], [0, 0.5**0.3, 0.5**0.3])
    keep = np.exp(-2 * np.pi * 100 / 1e3)
    expected = (1 - keep) * np.array([0, 0.5, 0.5 + keep * 0.5])
    np.testing.assert_allclose(amplitude(y, 1e3, power=1, cutoff=100.0)[:, 0], expected)


# -- mel ---------------------------------------------------------------------------------------------------------------


def test_mel_scale():
    assert mel(1000.0) == pytest.approx(1000, abs=0.1) and from_mel(mel(440.0)) == pytest.approx(440)


@pytest.mark.parametrize("frequency", [200.0, 1000.0, 4000.0])
def test_a_tone_is_in_the_nearest_band_with_half_its_squared_amplitude(frequency):
    centres = mel_centres(40, 20, 7600)
    x = mel_energy(tone(frequency), 16000, bands=40, low=20, high=7600, window=25e-3, hop=10e-3).mean(0)
    assert abs(x.argmax() - np.abs(mel(centres) - mel(frequency)).argmin()) <= 1
    k = 12
    own = mel_energy(tone(centres[k]), 16000, bands=40, low=20, high=7600, window=25e-3, hop=10e-3)
    assert own.mean(0).argmax() == k and own.mean(0)[k] == pytest.approx(0.01, rel=0.5)


def test_pcen_follows_its_equation_and_forgets_loudness():
    energy = np.random.default_rng(0).uniform(0.5, 2, (50, 3))
    mean, expected = energy[0].copy(), []
    for row in energy:
        mean = 0.975 * mean + 0.025 * row
        expected.append((row / (1e-6 + mean) ** 0.98 + 2) ** 0.5 - 2**0.5)
    np.testing.assert_allclose(pcen(energy, 10e-3), expected)
    np.testing.assert_allclose(pcen(100 * energy, 10e-3), expected, rtol=0.12)


# -- codes against their definitions ---------------------------------------------------------------------------------


def naive_fire(x, rate, code):
    found = []
    keep = 1.0 if np.isinf(code.tau) else np.exp(-1 / rate / code.tau)
    weight = code.gain / rate if keep == 1 else code.gain * code.tau * (1 - keep)
    for c in range(x.shape[1]):
        v = b = 0.0
        wait = 0
        for t in range(len(x)):
            b *= np.exp(-1 / rate / code.adapt_tau)
            if wait:
                wait -= 1
                continue
            v = keep * v + weight * x[t, c]
            if v >= 1 + b:
                found.append((t, c, 1))
                v = min(v - 1 - b, 1.0) if keep == 1 else 0.0
                b += code.adapt
                wait = round(code.refractory * rate)
    return sorted(found)


@pytest.mark.parametrize(
    "code", [Fire(gain=300), Fire(gain=150, adapt=0, refractory=0), Fire(gain=200, tau=np.inf, adapt=0)]
)
def test_fire_agrees_with_its_naive_twin(code):
    x = np.random.default_rng(0).uniform(0, 1, (300, 4))
    spikes = sorted(zip(*(a.tolist() for a in code.spikes(x, 1000.0)), strict=True))
    assert len(spikes) > 20 and spikes == naive_fire(x, 1000.0, code)


def test_an_integrator_without_leak_counts_the_area():
    when, _, _ = Fire(gain=50, tau=np.inf, adapt=0, refractory=0).spikes(np.full((1000, 1), 0.77), 1000.0)
    assert len(when) == int(50 * 0.77)


def test_adaptation_slows_the_spikes():
    when, _, _ = Fire(gain=200, adapt=0.5).spikes(np.ones((500, 1)), 1000.0)
    assert np.diff(when)[0] < np.diff(when)[-1]


def test_edges_mark_onset_and_offset_once_each():
    x = np.full((2000, 2), -5.0)
    x[500:1500, 0] = -4.0
    when, where, polarity = Edges(refractory=0.2).spikes(x, 1000.0)
    assert (where == 0).all() and polarity.tolist() == [1, 0]
    assert 500 <= when[0] <= 503 and 1500 <= when[1] <= 1503
    when, where, polarity = Edges(refractory=20e-3).spikes(x, 1000.0)
    assert np.diff(when[polarity == 1]).min() >= 20 and len(when) > 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=40), st.floats(0.1, 1.0))
def test_send_on_delta_is_undone_by_a_sum_with_an_error_below_the_threshold(values, threshold):
    x = np.array(values)[:, None]
    when, _, polarity = Delta(threshold=threshold).spikes(x, 100.0)
    signs = np.where(polarity == 1, 1.0, -1.0)
    for t in range(len(x)):
        sent = x[0, 0] + threshold * signs[when <= t + 1e-9].sum()
        assert abs(sent - x[t, 0]) < threshold * (1 + 1e-6)
    ramp = np.linspace(0, 1, 11)[:, None]
    when, _, polarity = Delta(threshold=0.23).spikes(ramp, 100.0)
    np.testing.assert_allclose(when, np.array([0.23, 0.46, 0.69, 0.92]) * 10)
    assert polarity.all()


def test_the_ladder_has_a_neuron_per_level_and_edge():
    code = Ladder(levels=4, low=0.0, high=3.0)
    x = np.array([[-0.5, 0.5], [2.5, 0.5], [0.25, 3.5]])
    when, where, polarity = code.spikes(x, 100.0)
    found = sorted(zip(when.tolist(), where.tolist(), polarity.tolist(), strict=True))
    down = [(1 + (2.5 - 2) / 2.25, 2, 0), (1 + (2.5 - 1) / 2.25, 1, 0)]
    up = [((j + 0.5) / 3, j, 1) for j in range(3)] + [(1 + (j - 0.5) / 3, 4 + j, 1) for j in (1, 2, 3)]
    np.testing.assert_allclose(np.array(found), np.array(sorted(down + up)))
    assert code.width(40) == 160


# -- the ears ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ear", EARS, ids=lambda e: f"{type(e).__name__} {type(getattr(e, 'code', None)).__name__}"
)
def test_silence_is_silent_and_sound_is_not(ear):
    assert len(ear(np.zeros(16000))) == 0
    after = np.concatenate([word(), np.zeros(16000)])
    events = ear(after)
    assert len(events) > 50 and (np.diff(events.t) >= 0).all()
    assert events.t[-1] < 1e6 * (0.6 + 0.4) and events.x.max() < events.sensor[2] and events.sensor[1] == 1
    assert len(ear(np.zeros(0))) == 0 and len(ear(word()[:3])) >= 0
    again = ear(after)
    np.testing.assert_array_equal(events.t, again.t)
    assert ear.batch([after, word()])[0].t.tolist() == events.t.tolist()
    steps = ear.batch([after, word()]).tensor(dt=5e-3)
    assert steps.shape[1:] == (2, *events.sensor) and steps.dense().sum() == len(events) + len(ear(word()))


@pytest.mark.parametrize(
    "ear", [Cochlea(), SiliconCochlea(), MelCochlea(), Cochlea(channels=700)], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_tone_makes_its_place_fire_most(ear, frequency):
    events = ear(tone(frequency))
    counts = np.bincount(events.x, minlength=events.sensor[2])
    centres = ear.frequencies()
    place = np.average(np.arange(len(counts)), weights=counts == counts.max())
    assert abs(place - np.abs(centres - frequency).argmin()) <= max(2, 0.015 * len(centres))


def test_6_db_change_log_delta_by_at_most_one_transient_per_channel():
    ear = MelCochlea(code=Delta(), rms=None)
    clip = 50 * (
        word() + np.random.default_rng(0).normal(0, 0.02, len(word()))
    )  # well above the floor everywhere
    quiet, loud = (np.bincount(ear(g * clip).x, minlength=40) for g in (1, 2))
    assert np.abs(quiet - loud).max() <= np.log(4) / 0.5 + 1 and quiet.sum() > 400


def test_brought_to_one_loudness_gain_changes_nothing():
    for ear in (Cochlea(), SiliconCochlea()):
        np.testing.assert_array_equal(ear(word()).t, ear(4 * word()).t)


def test_the_silicon_ear_fires_as_often_as_the_chip_and_rests():
    for seed in range(3):
        events = SiliconCochlea()(word(seed=seed))
        assert 3000 <= len(events) / 0.6 <= 10_000
    for x in range(64):
        assert np.diff(events.t[events.x == x]).min(initial=500) >= 500


def test_other_rates_and_types():
    ear = Cochlea(channels=16)
    clip = word()
    assert ear.frequencies(8000).max() < 3800 and ear.frequencies().max() < 7600
    shorts = np.round(clip * 32768).astype(np.int16)
    assert abs(len(ear(shorts)) / len(ear(clip)) - 1) < 0.05
    half = len(Cochlea(channels=16, high=3600.0)(clip[::2], rate=8000))
    assert abs(half / len(Cochlea(channels=16, high=3600.0)(clip)) - 1) < 0.15
    assert len(ear(clip[:, None])) == len(ear(clip))


def test_ears_are_values_with_json_parameters():
    from snnkit.datasets.transforms.base import parameters

    for ear in EARS:
        assert hash(ear) == hash(replace(ear)) and ear == replace(ear)
        assert parameters(ear)["rate"] == 16000
    assert parameters(EARS[1]) != parameters(EARS[2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cochlea()(np.zeros((5, 100))), "mono sound"),
        (lambda: Cochlea()(np.array([0.0, np.nan])), "sample 1"),
        (lambda: Cochlea(rate=8), "samples per second"),
        (lambda: Cochlea(high=9000.0)(np.zeros(10)), "high=None"),
        (lambda: Cochlea(power=0), "power"),
        (lambda: MelCochlea(hop=1.0), "hop"),
        (lambda: MelCochlea(energy="db"), "pcen"),
        (lambda: MelCochlea(low=9e3)(np.zeros(10)), "low < high"),
        (lambda: SiliconCochlea(channels=1), "channels"),
        (lambda: Fire(tau=0), "tau"),
        (lambda: Edges(fast=0.1), "fast < slow"),
        (lambda: Ladder(levels=1), "levels"),
        (lambda: Fire(refractory=5), "in seconds"),
        (lambda: Cochlea().batch([]), "at least one clip"),
        (lambda: Cochlea()(np.array(["a"])), "floats or 16-bit"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()


@pytest.mark.skipif(not (DATA / "fsdd").is_dir(), reason="needs spoken digits in SNNKIT_DATA/fsdd")
def test_a_dataset_of_words_becomes_spikes():
    from snnkit import datasets

    ds = datasets.load("fsdd", split="test", root=DATA).subset([0, 100, 200])
    spikes = ds.encode(Cochlea(rate=8000), progress=False)
    assert len(spikes) == 3 and spikes.shape == (1, 1, 64)
    assert all(100 < len(spikes[i][0]) < 20_000 for i in range(3))
