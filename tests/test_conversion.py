"""Conversion: the exact case is exact, every step of the construction has a twin, and bad networks are named."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from snnkit.conversion import QCFS, ConversionError, accuracy_by_timesteps, convert, with_qcfs
from snnkit.conversion.folding import chain, run_chain
from snnkit.conversion.thresholds import choose_thresholds
from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential
from snnkit.neurons import IF


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def small_cnn(activation=nn.ReLU, seed=0):
    """Everything that converts, nested, with batch norm that has seen data and is not the identity."""

    def make():
        ann = nn.Sequential(
            OrderedDict(
                features=nn.Sequential(
                    nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(4),
                    activation(),
                    nn.AvgPool2d(2),
                ),
                flat=nn.Flatten(),
                drop=nn.Dropout(0.5),
                head=nn.Sequential(
                    nn.Linear(16, 8), nn.BatchNorm1d(8), activation(), nn.Identity(), nn.Linear(8, 3)
                ),
            )
        )
        for module in ann.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 2.0)
                nn.init.normal_(module.bias)
        ann(torch.rand(32, 2, 8, 8))
        return ann.eval().double()

    return seeded(make, seed)


def images(n=16, seed=1):
    return torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The activation ---------------------------------------------------------------------------------------------------


def naive_qcfs(z, theta, levels):
    return np.array([theta * np.floor(min(max(v / theta, 0), 1) * levels + 0.5) / levels for v in z])


def test_qcfs_is_its_formula():
    z = np.linspace(-3, 6, 1000)
    found = QCFS(levels=4, theta=2.5).double()(torch.tensor(z)).detach().numpy()
    theta = QCFS(levels=4, theta=2.5).double().theta.item()  # 2.5 up to the rounding of exp(log)
    np.testing.assert_allclose(found, naive_qcfs(z, theta, 4), rtol=1e-12)
    assert len(np.unique(found.round(9))) == 5


def test_qcfs_gradients_pass_the_floor_but_not_the_clip():
    z = torch.tensor([-1.0, 0.3, 1.1, 1.9, 2.5], dtype=torch.float64, requires_grad=True)
    activation = QCFS(levels=4, theta=2.0).double()
    activation(z).sum().backward()
    assert z.grad.tolist() == [0, 1, 1, 1, 0]
    # d a/d θ = floor(..)/L - z/θ inside (product and quotient), 1 above the clip, 0 below; and d θ/d log θ = θ
    z0, theta = z.detach().numpy(), 2.0
    inside = naive_qcfs(z0, theta, 4) / theta - z0 / theta
    expected = theta * (inside[1:4].sum() + 1.0)
    assert activation.log_theta.grad.item() == pytest.approx(expected, rel=1e-6)


def test_one_neuron_is_exactly_its_activation():
    """Constant input z in 0..θ, T = L: spikes · θ/T is QCFS(z), on a grid of 1000."""
    for levels in (4, 8):
        theta = 1.7
        z = torch.linspace(0, theta, 1000, dtype=torch.float64)
        neuron = IF(threshold=theta, reset="subtract", initial_v=theta / 2)
        spikes = neuron(z.expand(levels, 1, -1))
        assert set(spikes.unique().tolist()) == {0.0, 1.0}
        np.testing.assert_allclose(
            spikes.sum(0)[0] * theta / levels, naive_qcfs(z.numpy(), theta, levels), rtol=1e-12
        )


def test_half_a_threshold_at_the_start_is_what_makes_it_exact():
    z = torch.linspace(0, 1, 1000, dtype=torch.float64)
    from_zero = IF(threshold=1.0, reset="subtract")(z.expand(4, 1, -1)).sum(0)[0] / 4
    assert np.abs(from_zero - naive_qcfs(z.numpy(), 1.0, 4)).max() > 0.2


# The construction -------------------------------------------------------------------------------------------------


def test_folding_keeps_the_function():
    ann, x = small_cnn(), images()
    torch.testing.assert_close(run_chain(chain(ann), x), ann(x), rtol=1e-10, atol=1e-10)
    assert not any("BatchNorm" in type(part.module).__name__ for part in chain(ann))


def naive_snn(ann, thresholds, x, timesteps):
    """The converted network by its meaning: thresholds θ, spikes of height θ, no weight is rescaled."""
    parts = chain(ann)
    v = {part.path: thresholds[part.path] / 2 for part in parts if part.is_activation}
    total = 0
    for _ in range(timesteps):
        signal = x
        for part in parts:
            if part.is_activation:
                theta = thresholds[part.path]
                u = v[part.path] + signal
                signal = theta * (u >= theta).to(x)
                v[part.path] = u - signal
            else:
                signal = part.module(signal)
        total = total + signal
    return total / timesteps


@pytest.mark.parametrize("activation", [nn.ReLU, lambda: QCFS(levels=4, theta=1.3)], ids=["relu", "qcfs"])
@pytest.mark.parametrize("method", ["qcfs", "percentile"])
def test_converted_network_is_its_naive_twin(activation, method):
    ann, x = small_cnn(activation), images()
    snn = convert(ann, x, method=method, timesteps=5)
    torch.testing.assert_close(snn(x), naive_snn(ann, snn.thresholds, x, 5).detach(), rtol=1e-9, atol=1e-9)


def test_thresholds_between_two_linear_layers_without_activation():
    ann = seeded(
        lambda: nn.Sequential(
            nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.Linear(5, 2), nn.ReLU(), nn.Linear(2, 2)
        )
    )
    ann, x = ann.double(), torch.rand(6, 3, dtype=torch.float64)
    snn = convert(ann, x)
    torch.testing.assert_close(snn(x), naive_snn(ann, snn.thresholds, x, 8).detach(), rtol=1e-9, atol=1e-9)


def test_spikes_are_binary_and_the_last_layer_adds_up():
    snn = convert(small_cnn(), images())
    x = snn.encode(images())
    kinds = [type(module).__name__ for module in snn.net]
    assert kinds == ["Conv2d", "IF", "AvgPool2d", "Flatten", "Linear", "IF", "Linear"]
    for module in snn.net:
        x = module(x)
        if isinstance(module, IF):
            assert set(x.unique().tolist()) <= {0.0, 1.0}
            assert (module.threshold, module.initial_v, module.reset) == (1.0, 0.5, "subtract")


def test_logits_over_time_equal_separate_runs():
    ann, x = small_cnn(), images(5)
    together = convert(ann, x).logits_over_time(x, [8, 1, 3], batch_size=2)
    assert list(together) == [1, 3, 8]
    for t, logits in together.items():
        torch.testing.assert_close(logits, naive_snn(ann, convert(ann, x).thresholds, x, t).detach())


def test_long_runs_approach_the_ann():
    ann, x = small_cnn(), images()
    errors = convert(ann, x, method="percentile", percentile=100).logits_over_time(x, [4, 32, 512])
    gaps = [(logits - ann(x)).abs().max().item() for logits in errors.values()]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.05 * ann(x).abs().max()


def test_trained_thresholds_are_taken_and_relu_gets_calibrated_ones():
    x = images()
    ann = small_cnn(lambda: QCFS(levels=4, theta=0.7))
    assert list(convert(ann, x).thresholds.values()) == pytest.approx([0.7, 0.7])
    parts = chain(small_cnn())
    acts = parts[1].module(parts[0].module(x)).detach().numpy().ravel()  # the first activations
    chosen = choose_thresholds(parts, x, method="percentile", percentile=90.0, levels=8)
    assert chosen["features.2"] == pytest.approx(np.sort(acts)[round(0.9 * acts.size) - 1])
    least = choose_thresholds(parts, x, method="qcfs", percentile=90.0, levels=2)["features.2"]
    grid = acts.max() * np.arange(2, 41) / 40
    errors = [((naive_qcfs(acts, theta, 2) - acts) ** 2).sum() for theta in grid]
    assert least == pytest.approx(grid[int(np.argmin(errors))])


def test_the_ann_is_left_as_it_was():
    ann = small_cnn().train()
    before = {k: v.clone() for k, v in ann.state_dict().items()}
    snn = convert(ann, images())
    accuracy_by_timesteps(ann, snn, images(), torch.zeros(16, dtype=torch.long), [1])
    assert ann.training and all(m.training for m in ann.modules())
    assert all(torch.equal(before[k], v) for k, v in ann.state_dict().items())


def test_with_qcfs_swaps_a_copy():
    ann = small_cnn()
    changed = with_qcfs(ann, levels=3)
    assert sum(isinstance(m, QCFS) for m in changed.modules()) == 2
    assert not any(isinstance(m, nn.ReLU) for m in changed.modules())
    assert sum(isinstance(m, nn.ReLU) for m in ann.modules()) == 2
    with pytest.raises(UserError, match="found no torch"):
        with_qcfs(nn.Sequential(nn.Linear(2, 2)))


def test_one_relu_module_in_two_places():
    relu = nn.ReLU()
    ann = seeded(
        lambda: nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2))
    ).double()
    x = torch.rand(6, 3, dtype=torch.float64)
    snn = convert(ann, x)
    assert list(snn.thresholds) == ["1", "3"]
    torch.testing.assert_close(snn(x), naive_snn(ann, snn.thresholds, x, 8).detach(), rtol=1e-9, atol=1e-9)
    changed = with_qcfs(ann)
    assert isinstance(changed[1], QCFS) and isinstance(changed[3], QCFS) and changed[1] is not changed[3]


def test_a_silent_layer_stays_silent():
    ann = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        ann[0].weight.zero_()
        ann[0].bias.fill_(-1)
    for method in ("qcfs", "percentile"):
        snn = convert(ann, torch.rand(4, 3), method=method)
        torch.testing.assert_close(snn(torch.rand(4, 3)), ann[2].bias.expand(4, 2).detach())


# The report -------------------------------------------------------------------------------------------------------


def test_report_counts():
    ann, x = small_cnn(lambda: QCFS(levels=4, theta=1.0)), images(40)
    expected = ann(x).argmax(1)
    report = accuracy_by_timesteps(ann, convert(ann, x), x, expected, [2, 64])
    assert report["ann"] == 1.0 and report["timesteps"] == [2, 64] and report["n"] == 40
    predicted = naive_snn(ann, convert(ann, x).thresholds, x, 2).argmax(1)
    assert report["snn"][0] == pytest.approx((predicted == expected).double().mean().item())
    assert report["gap"] == [1 - a for a in report["snn"]] and report["agreement"] == report["snn"]
    with pytest.raises(ConversionError, match="as many labels"):
        accuracy_by_timesteps(ann, convert(ann, x), x, expected[:-1])


# Bad input --------------------------------------------------------------------------------------------------------


def wrap(*modules):
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *modules, nn.Flatten(), nn.Linear(256, 3))


class Residual(nn.Module):
    def forward(self, x):
        return x + x


class Skip(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize(
    "ann, message",
    [
        (wrap(nn.ReLU(), nn.MaxPool2d(1)), r"layer '2' \(MaxPool2d\) cannot be converted.*use AvgPool2d"),
        (
            wrap(nn.Sequential(nn.ReLU(), Residual())),
            r"layer '1\.1' \(Residual\) cannot be converted.*Supported: Conv2d",
        ),
        (wrap(nn.GELU(), nn.Sigmoid()), r"'1' \(GELU\).*'2' \(Sigmoid\)"),  # everything that is wrong at once
        (Residual(), "needs a torch.nn.Sequential.*Residual"),
        (wrap(nn.ReLU(), nn.BatchNorm2d(4)), r"'2' \(BatchNorm2d\) must stand right after a Conv2d"),
        (wrap(nn.ReLU(), nn.ReLU()), r"layer '2' \(ReLU\) has no Conv2d or Linear between"),
        (wrap(nn.ReLU(), Skip(nn.Conv2d(4, 4, 1), nn.ReLU())), r"layer '2' \(Skip\) cannot be converted"),
        (Skip(nn.Linear(2, 2)), r"needs a torch.nn.Sequential.*Skip"),
        (Sequential(Linear(2, 2)), "needs a torch.nn.Sequential.*got snnkit.Sequential"),
        (wrap(), "no ReLU or QCFS"),
        (nn.Sequential(nn.Flatten(), nn.Linear(128, 3), nn.ReLU()), "must end in logits"),
        (wrap(nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True)), r"'2' \(AvgPool2d\) needs padding=0"),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.ReLU(), nn.Conv2d(4, 3, 1)),
            "zero padding given in pixels",
        ),
        (wrap(nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()), "no running statistics"),
        (
            nn.Sequential(nn.Flatten(0), nn.Linear(128, 3), nn.ReLU(), nn.Linear(3, 3)),
            "must keep the batch axis",
        ),
    ],
)
def test_networks_that_cannot_be_converted(ann, message):
    with pytest.raises(ConversionError, match=message):
        convert(ann, torch.rand(2, 2, 8, 8))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "max"}, "'qcfs' or 'percentile'; got 'max'"),
        ({"timesteps": 0}, "whole number of at least 1"),
        ({"percentile": 0.0}, "0..100"),
        (
            {"calibration_batch": torch.rand(2, 1, 8, 8)},
            r"cannot run on calibration_batch of shape \(2, 1, 8, 8\)",
        ),
        ({"calibration_batch": torch.full((2, 2, 8, 8), float("nan"))}, "NaN"),
        ({"calibration_batch": torch.rand(0, 2, 8, 8)}, "at least one image"),
        ({"calibration_batch": [[1.0]]}, "got list"),
    ],
)
def test_bad_arguments(options, message):
    batch = options.pop("calibration_batch", torch.rand(2, 2, 8, 8))
    with pytest.raises(ConversionError, match=message):
        convert(small_cnn().float(), batch, **options)


def test_images_of_another_size_are_refused():
    snn = convert(small_cnn(), images())
    with pytest.raises(ConversionError, match=r"expected images of shape B 2 8 8.*got \(3, 8, 8\)"):
        snn(images()[0, 0].expand(3, 8, 8))
    with pytest.raises(ConversionError, match="at least 1"):
        snn.logits_over_time(images(), [0, 4])
