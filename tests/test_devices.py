"""Resistive cells, converters and crossbars: their statistics against closed forms, and networks that lie on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hardware_cases import conv, dense, graph, lif
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import EventTensor
from snnkit.errors import UserError
from snnkit.hardware import simulate
from snnkit.hardware.arrays import Arrays
from snnkit.hardware.crossbar import Crossbar, largest_sum, multiply
from snnkit.hardware.devices import DEVICES, Converter, Device, LogLaw, device
from snnkit.liquid import Liquid
from snnkit.liquid.resistive import ResistiveLiquid, resistive
from snnkit.neurons import LIF, Decay

EXACT = Device(name="exact", low=1e-6, high=50e-6, mean=25e-6, spread=0.2)

# -- cells ------------------------------------------------------------------------------------------------------------


def test_formed_cells_are_normal_and_never_negative():
    g = DEVICES["rram_formed"].form((400, 500), 1)
    assert abs(g.mean() - 50e-6) < 0.1e-6 and abs(g.std() / g.mean() - 0.2) < 0.002
    wide = DEVICES["rram_formed"].replaced(spread=1.0).form((400, 500), 1)
    assert wide.min() == 0.0 and abs((wide == 0).mean() - 0.1587) < 0.003  # P(N(0, 1) < -1)
    assert np.array_equal(g, DEVICES["rram_formed"].form((400, 500), 1))
    assert not np.array_equal(g, DEVICES["rram_formed"].form((400, 500), 2))


@pytest.mark.parametrize(
    ("name", "target_us", "sigma_us"),
    [
        ("rram_wan", 10.0, 1.536e-4 * 1000 - 1.167e-2 * 100 + 0.2374 * 10 + 1.053),
        ("pcm_joshi", 20.0, -0.00178767 * 400 + 0.07585724 * 20 + 0.28638599),
        ("pcm", 12.5, 0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25),
    ],
)
def test_programmed_cells_err_as_published(name, target_us, sigma_us):
    cells = DEVICES[name].program(np.full(100_000, target_us * 1e-6), 3)
    assert abs(cells.mean() - target_us * 1e-6) < 0.02e-6
    assert abs(cells.std() / (sigma_us * 1e-6) - 1) < 0.01


def test_pcm_drifts_by_a_power_of_time_that_depends_on_the_conductance():
    pcm = DEVICES["pcm"]
    for g, mean, deviation in ((1.0, 0.049, 0.008), (0.01, 0.0244 - 0.0155 * np.log(0.01), 0.045)):
        cells = np.full(50_000, g * pcm.high)
        exponent = -np.log(pcm.aged(cells, 2000.0, 5) / cells) / np.log(100.0)
        assert abs(exponent.mean() - mean) < 1e-3 and abs(exponent.std() - deviation) < 2e-3
    assert np.allclose(pcm.aged(cells, 20.0, 5), cells)
    one, two = pcm.aged(cells, 200.0, 5), pcm.aged(cells, 2000.0, 5)
    assert np.allclose(two / cells, (one / cells) ** 2)  # the same exponent for the same cell


def test_read_noise():
    cells = np.full(100_000, 40e-6)
    seen = DEVICES["rram_formed"].replaced(read=0.05).read_out(cells, 2)
    assert abs(seen.std() / 40e-6 - 0.05) < 5e-4 and abs(seen.mean() / 40e-6 - 1) < 1e-3
    pcm, t = DEVICES["pcm"], 3600.0
    expected = 0.0088 / 0.25**0.65 * np.sqrt(np.log((t + 250e-9) / 500e-9))
    assert np.isclose(pcm.read_noise(0.25 * pcm.high, t) / (0.25 * pcm.high), expected)
    faint = pcm.read_noise(1e-6 * pcm.high, 20.0) / (1e-6 * pcm.high)
    assert np.isclose(faint, 0.2 * np.sqrt(np.log((20 + 250e-9) / 500e-9)))


def test_every_device_names_its_source_and_bad_ones_are_refused():
    assert all(d.source and d.name == name for name, d in DEVICES.items())
    assert device(EXACT) is EXACT
    with pytest.raises(UserError, match="did you mean 'rram_wan'"):
        device("rram_wann")
    with pytest.raises(UserError, match="microsiemens"):
        Device(name="mine", low=0, high=50, mean=25, spread=0.1)
    with pytest.raises(UserError, match="0 <= low < high"):
        EXACT.replaced(low=60e-6)
    with pytest.raises(UserError, match="programmed to"):
        EXACT.program([60e-6], 0)
    with pytest.raises(UserError, match="from 20 s after"):
        DEVICES["pcm"].aged([1e-6], 1.0, 0)


# -- converters -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    st.integers(2, 12),
    st.floats(0.1, 100),
    st.lists(st.floats(-200, 200), min_size=1, max_size=20),
    st.booleans(),
)
def test_converters_round_to_their_grid_and_saturate(bits, full, values, signed):
    adc, x = Converter(bits, full, signed), np.array(values)
    y = adc.convert(x)
    low = -full if signed else 0.0
    inside = (x >= low) & (x <= full)
    assert (np.abs(y - x)[inside] <= adc.step / 2 + 1e-9 * full).all()
    assert np.allclose(y[x > full], full) and np.allclose(y[x < low], low)
    assert np.allclose(y / adc.step, np.rint(y / adc.step))
    assert len(np.unique(adc.convert(np.linspace(low, full, 10_001)))) == min(2**bits - signed, 10_001)


def test_bad_converters():
    with pytest.raises(UserError, match="bits"):
        Converter(1, 1.0)
    with pytest.raises(UserError, match="full_scale"):
        Converter(8, 0.0)


# -- crossbars --------------------------------------------------------------------------------------------------------


def test_formed_weights_are_standardised_pairs():
    chip = Crossbar.formed(256, 200, "rram_formed", gain=0.3, seed=4)
    w = chip.weights()
    assert np.isclose(w.std(), 0.3) and abs(w.mean()) < 0.005
    assert np.allclose(w, 0.3 * (chip.plus - chip.minus) / (chip.plus - chip.minus).std())
    assert np.array_equal(w, Crossbar.formed(256, 200, "rram_formed", gain=0.3, seed=4).weights())
    assert abs(np.corrcoef(w.ravel(), Crossbar.formed(256, 200, "rram_formed", gain=0.3, seed=5).weights().ravel())[0, 1]) < 0.02  # fmt: skip
    with pytest.raises(UserError, match="all equal"):
        Crossbar.formed(4, 4, EXACT.replaced(spread=0.0), seed=0)


def test_a_weight_is_read_as_noisily_as_both_its_cells():
    chip = Crossbar.formed(40, 30, EXACT.replaced(read=0.05), seed=1)
    seen = np.stack([chip.read(k) for k in range(2000)])
    expected = 0.05 * np.hypot(chip.plus, chip.minus) / chip.unit
    assert np.allclose(chip.noise(), expected)
    assert abs((seen.std(0) / expected).mean() - 1) < 0.01
    assert np.abs((seen.mean(0) - chip.weights()) / expected).max() < 5 / np.sqrt(2000)


def test_any_weights_can_be_programmed():
    w = np.random.default_rng(0).normal(size=(30, 20))
    exact = Crossbar.programmed(w, EXACT, seed=0)
    assert np.allclose(exact.weights(), w) and np.minimum(exact.plus, exact.minus).max() == EXACT.low
    many, kind = np.tile(w, (20, 20)), DEVICES["rram_wan"].replaced(low=15e-6)  # so that no cell ends at zero
    noisy = Crossbar.programmed(many, kind, seed=0)
    targets = (kind.low + noisy.unit * np.maximum(side * many, 0) for side in (1, -1))
    sigma = np.hypot(*(kind.programming_error(g) for g in targets)) / noisy.unit
    assert abs(((noisy.weights() - many) / sigma).std() - 1) < 0.01
    assert np.allclose(Crossbar.programmed(np.zeros((3, 3)), EXACT, seed=0).weights(), 0)


def test_drift_shrinks_weights_and_nothing_recalibrates():
    kind = EXACT.replaced(drift=LogLaw(0.1))
    chip = Crossbar.formed(20, 20, kind, seed=0)
    assert np.allclose(chip.aged(1000.0).weights(), chip.weights() * 1000.0**-0.1)
    assert chip.aged(None) is chip


def test_energy_of_the_cells():
    chip = Crossbar.formed(3, 2, EXACT, seed=0)
    spikes = np.array([2.0, 0.0, 1.0])
    by_hand = sum(
        n * 0.2**2 * g * 1e-8 for n, row in zip(spikes, chip.plus + chip.minus, strict=True) for g in row
    )
    assert np.isclose(chip.cell_energy(spikes, volts=0.2, seconds=1e-8), by_hand)


def test_products_split_over_arrays():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 300)), rng.normal(size=(300, 7))
    assert np.allclose(multiply(x, w, rows=128), x @ w)
    peak = largest_sum(x, w, rows=128)
    pieces = [x[:, a : a + 128] @ w[a : a + 128] for a in (0, 128, 256)]
    assert np.isclose(peak, max(np.abs(p).max() for p in pieces))
    adc = Converter(6, peak)
    assert np.allclose(multiply(x, w, rows=128, converter=adc), sum(adc.convert(p) for p in pieces))


# -- networks on crossbars --------------------------------------------------------------------------------------------


def network(seed=0):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, 0.5, (4, 2, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 0.1, 4).astype(np.float32)
    return graph((2, 6, 5), (4, 3, 3), conv(kernel, (6, 5), stride=2, padding=1, bias=bias), lif((4, 3, 3)))


@pytest.mark.parametrize("net", [network(), dense((30, 20, 5), scale=0.4, bias=True)])
@pytest.mark.parametrize("bits", [{}, {"weight_bits": 12, "cell_bits": 3}])
def test_exact_cells_and_converters_compute_the_network(net, bits):
    shape = net.nodes["input"].input_type["input"]
    x = (torch.rand(12, 3, *shape, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    reference = simulate(net, x, dtype=torch.float64).output
    found = simulate(
        net, x, dtype=torch.float64, arrays=Arrays(device=EXACT, bits=None, reading=None, **bits)
    ).output
    assert reference.sum() > 20
    if bits:
        assert (found != reference).double().mean() < 0.01  # weights are rounded to 12 bits
    else:
        assert torch.equal(found, reference)


def test_grouped_convolutions_lie_on_arrays_too():
    kernel = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)
    net = graph((2, 5, 5), (4, 3, 3), conv(kernel, (5, 5), groups=2), lif((4, 3, 3)))
    x = torch.rand(3, 2, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    exact = Arrays(device=EXACT, bits=None, reading=None)
    assert torch.equal(simulate(net, x, dtype=torch.float64, arrays=exact).output, simulate(net, x, dtype=torch.float64).output)  # fmt: skip


def test_digits_are_offset_coded_integers():
    rng = np.random.default_rng(1)
    x, w = (rng.random((6, 200)) < 0.3).astype(float), rng.normal(size=(200, 9))
    chip = Arrays(device=EXACT, bits=None, reading=None, weight_bits=8, cell_bits=2)
    delta = np.abs(w).max() / 127
    assert np.allclose(chip.product(x, w, 0), x @ (np.rint(w / delta) * delta))


def test_worse_parts_compute_worse():
    rng = np.random.default_rng(2)
    x, w = (rng.random((50, 256)) < 0.2).astype(float), rng.normal(size=(256, 32))

    def error(**options):
        return float(
            np.square(Arrays(**{"device": EXACT, "reading": None, **options}).product(x, w, 0) - x @ w).mean()
        )

    assert error(bits=None) < 1e-20 < error(bits=10) < error(bits=8) < error(bits=4)
    assert error(bits=None, device="rram_wan") > 1e-3
    assert error(bits=None, device=EXACT.replaced(read=0.1), reading=3) > error(bits=None, device=EXACT.replaced(read=0.02), reading=3) > 1e-6  # fmt: skip
    old = EXACT.replaced(drift=LogLaw(0.05))
    assert error(bits=None, device=old, age=1e6) > error(bits=None, device=old, age=10.0) > 1e-6


def test_the_chip_of_the_energy_model_has_arrays():
    arrays = Arrays.of("rram128", device=EXACT)
    assert (arrays.rows, arrays.bits, arrays.weight_bits, arrays.cell_bits) == (128, 8, 8, 2)
    x = (torch.rand(10, 2, 30, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    net = dense((30, 20, 5), scale=0.4)
    ideal = Arrays.of("rram128", device=EXACT, bits=None)
    spikes = [simulate(net, x, arrays=a).output for a in (arrays, ideal, arrays)]
    assert spikes[0].sum() > 0 and torch.equal(spikes[0], spikes[2])
    assert torch.equal(spikes[0], spikes[1])  # 30 rows of digits up to 3 are within 255 levels
    assert not torch.equal(spikes[0], simulate(net, x, arrays=Arrays.of("rram128", bits=2)).output)
    with pytest.raises(UserError, match="has no crossbars"):
        Arrays.of("loihi")
    with pytest.raises(UserError, match="weight_bits"):
        Arrays(weight_bits=1)


# -- liquids of resistive cells ---------------------------------------------------------------------------------------

CELL = LIF(tau=Decay(0.9), dt=1e-3, threshold=2.0, reset="zero")


def naive_counts(x, w_in, w_rec, decay, threshold):
    """The published equation, sample by sample."""
    out = np.zeros((x.shape[1], w_rec.shape[0]))
    for b in range(x.shape[1]):
        v, s = np.zeros(w_rec.shape[0]), np.zeros(w_rec.shape[0])
        for x_t in x[:, b]:
            v = decay * v * (1 - s) + x_t @ w_in + s @ w_rec
            s = (v >= threshold).astype(float)
            out[b] += s
    return out


@pytest.fixture(scope="module")
def stimulus():
    x = (torch.rand(40, 6, 32, generator=torch.Generator().manual_seed(3)) < 0.15).float()
    return EventTensor.from_dense(x, 1e-3)


@pytest.fixture(scope="module")
def liquid():
    cells = DEVICES["rram_formed"].replaced(read=0.05)
    return ResistiveLiquid(32, 24, neuron=CELL, gain=0.5, seed=11, device=cells)


def test_spikes_are_those_of_the_published_equation(liquid, stimulus):
    expected = naive_counts(stimulus.dense().double().numpy(), liquid.inputs.weights(), liquid.recurrent.weights(), 0.9, 2.0)  # fmt: skip
    found = liquid.counts(stimulus).numpy()
    assert 0.05 < found.mean() / 40 < 0.6
    assert np.abs(found - expected).mean() < 0.02  # float32 against float64


def test_read_noise_is_drawn_per_sample_and_repeats_with_its_seed(liquid, stimulus):
    noisy = liquid.counts(stimulus, reading=1)
    assert torch.equal(noisy, liquid.counts(stimulus, reading=1))
    assert not torch.equal(noisy, liquid.counts(stimulus, reading=2))
    twice = EventTensor.stack([stimulus.batch(0), stimulus.batch(0)])
    same = liquid.counts(twice, reading=1)
    assert torch.equal(same[0], noisy[0]) and not torch.equal(same[0], same[1])
    by_hand = [x.read((11, 1, 0, k)) for k, x in enumerate((liquid.inputs, liquid.recurrent))]
    expected = naive_counts(stimulus.dense().double().numpy()[:, :1], *by_hand, 0.9, 2.0)
    assert np.abs(noisy[0].numpy() - expected[0]).mean() < 0.1


def test_noise_of_each_step_is_that_of_independent_reads(stimulus):
    """Without recurrence and threshold one step sees N(Σ x·w, Σ x²·σ²); over many steps it changes counts less."""
    cells = DEVICES["rram_formed"].replaced(read=0.1)
    chip = ResistiveLiquid(32, 24, neuron=CELL, gain=0.5, seed=11, device=cells)
    ideal = chip.counts(stimulus)
    step = chip.counts(stimulus, reading=1, redraw="step")
    assert torch.equal(step, chip.counts(stimulus, reading=1, redraw="step"))
    assert 0 < (step - ideal).abs().mean() < (chip.counts(stimulus, reading=1) - ideal).abs().mean()
    one = EventTensor.from_dense(stimulus.dense()[3:4, :1].expand(1, 4000, 32).contiguous(), 1e-3)
    fired = chip.counts(one, reading=2, redraw="step").double().mean(0).numpy()
    x = one.dense()[0, 0].double().numpy()
    mean, deviation = x @ chip.inputs.weights(), np.sqrt(x**2 @ chip.inputs.noise() ** 2)
    chance = 0.5 * (1 - np.vectorize(math.erf)((2.0 - mean) / deviation / math.sqrt(2)))
    assert chance.max() > 0.02 and np.abs(fired - chance).max() < 5 * np.sqrt(0.25 / 4000)
    with pytest.raises(UserError, match="redraw"):
        chip.counts(stimulus, reading=1, redraw="step", bits=8)


def test_fine_converters_change_nothing_and_coarse_ones_do(liquid, stimulus):
    ideal = liquid.counts(stimulus)
    assert (liquid.counts(stimulus, bits=22) - ideal).abs().mean() < 0.05
    assert (liquid.counts(stimulus, bits=3) - ideal).abs().mean() > 0.5
    assert liquid.counts(stimulus, bits=8, reading=1).shape == ideal.shape


def test_a_chip_is_its_seed_and_ages(liquid, stimulus):
    cells = liquid.inputs.device
    twin = ResistiveLiquid(32, 24, neuron=CELL, gain=0.5, seed=11, device=cells)
    assert torch.equal(twin.counts(stimulus), liquid.counts(stimulus))
    other = ResistiveLiquid(32, 24, neuron=CELL, gain=0.5, seed=12, device=cells)
    assert not torch.equal(other.counts(stimulus), liquid.counts(stimulus))
    drifting = cells.replaced(drift=LogLaw(0.1))
    old = ResistiveLiquid(32, 24, neuron=CELL, gain=0.5, seed=11, device=drifting, age=1e4)
    assert np.allclose(old.inputs.weights(), liquid.inputs.weights() * 1e4**-0.1)
    assert old.counts(stimulus).sum() < liquid.counts(stimulus).sum()


def test_projections_of_crossbars_fit_any_liquid(stimulus):
    into, back = (Crossbar.formed(n, 10, "rram_formed", gain=0.5, seed=n) for n in (32, 10))
    assert np.allclose(resistive(into).matrix(), into.weights())
    assert Liquid(CELL, resistive(into), resistive(back))(stimulus).shape == (40, 6, 10)
