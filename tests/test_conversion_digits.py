"""The conversion recipe on real digits: thresholds from training images only, results that repeat and that JSON can hold."""

import json

import pytest
import torch

import snnkit
from snnkit.conversion import accuracy_by_timesteps, convert
from snnkit.conversion import digits as recipe
from snnkit.conversion.digits import AnnRecipe, build_ann, digits_conversion, digits_images, train_ann

SHORT = AnnRecipe(channels=(4, 8), hidden=16, epochs=2)


def test_split_is_that_of_the_data_set():
    data = digits_images()
    test = snnkit.datasets.load("digits", "test")
    assert data.train_images.shape == (1437, 1, 8, 8) and data.test_images.shape == (360, 1, 8, 8)
    assert data.test_labels.tolist() == test.labels.tolist()
    assert data.train_images.min() >= 0 and data.train_images.max() == 1


def test_calibration_and_training_see_training_images_only(monkeypatch):
    data, seen = digits_images(), []
    monkeypatch.setattr(
        recipe, "train_ann", lambda ann, x, y, *a, **k: (seen.append(x), train_ann(ann, x, y, *a, **k))[1]
    )
    monkeypatch.setattr(recipe, "convert", lambda ann, x, **k: (seen.append(x), convert(ann, x, **k))[1])
    report = digits_conversion(0, timesteps=[1, 4], recipe=SHORT)
    assert len(seen) == 4 and all(torch.equal(x, data.train_images) for x in seen)
    assert json.loads(json.dumps(report))["methods"]["qcfs"]["timesteps"] == [1, 4]
    assert report["methods"]["percentile"]["n"] == 360


def test_same_seed_same_result_and_the_global_generator_is_untouched():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    a, b, c = (digits_conversion(s, timesteps=[2], recipe=SHORT)["methods"] for s in (1, 1, 2))
    assert a == b != c and torch.equal(state, torch.get_rng_state())


def test_progress_goes_from_nothing_to_all():
    shares = []
    digits_conversion(0, timesteps=[1], recipe=SHORT, progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_shifted_moves_images_and_brings_in_zeros():
    images = torch.zeros(200, 1, 5, 5)
    images[:, 0, 2, 2] = 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        moved = recipe._shifted(images, 1)
    places = {tuple(p) for p in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)} and moved.sum() == 200


def test_a_trained_qcfs_network_survives_conversion():
    """A few seconds of training: the spiking network stays near its ANN at T = 8 and falls behind at T = 1."""
    data = digits_images()
    short = AnnRecipe(channels=(8, 16), hidden=32, epochs=8)
    ann = train_ann(build_ann(short, qcfs=True), data.train_images, data.train_labels, short)
    snn = convert(ann, data.train_images[:256], method="qcfs", timesteps=8)
    report = accuracy_by_timesteps(ann, snn, data.test_images, data.test_labels, [1, 8])
    assert report["ann"] > 0.9 and abs(report["gap"][1]) < 0.03 and report["snn"][0] < report["snn"][1]


def test_converted_networks_are_traced_and_written():
    nir = pytest.importorskip("nir")
    data = digits_images()
    snn = convert(build_ann(SHORT).eval(), data.train_images[:64])
    x = snn.encode(data.test_images[:3])
    with snnkit.trace(snn.net) as activity:
        expected = snn.net(x)
    kinds = [layer.kind for layer in activity.layers.values()]
    assert kinds == ["Conv2d", "IF", "Conv2d", "IF", "Linear", "IF", "Linear"]
    first, second = (layer for layer in activity.layers.values() if layer.kind == "Conv2d")
    assert first.macs > 0 and first.synops == 0  # the image is analog
    assert second.macs == 0  # and all that follows is spikes
    graph = snnkit.to_nir(snn.net, input_shape=(1, 8, 8))
    assert isinstance(graph, nir.NIRGraph)
    torch.testing.assert_close(snnkit.from_nir(graph)(x), expected)
