"""The zero-shot liquid: its loss and projections, retrieval where there is something to find and where there is not, and the run."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from snnkit import systems
from snnkit.errors import UserError
from snnkit.systems.reproduction import Setting
from snnkit.systems.zero_shot import QUICK, operations, pairs, trained
from snnkit.systems.zero_shot.data import NEURONS, Modality, images, speech
from snnkit.systems.zero_shot.supervised import GAINS, standard, sweep, with_noise
from snnkit.training.contrastive import Embedding, contrastive_loss

needs_data = pytest.mark.skipif(
    "SNNKIT_DATA" not in os.environ, reason="needs N-MNIST and FSDD in SNNKIT_DATA"
)

# -- the loss ---------------------------------------------------------------------------------------------------------


def embeddings(n, seed, dims=8):
    return F.normalize(
        torch.randn(n, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1
    )


def naive_loss(a, b, classes, other, temperature, same_class):
    """Row by row, both ways."""
    total = []
    for x, y, mine, yours in ((a, b, classes, other), (b, a, other, classes)):
        rows = []
        for i in range(len(x)):
            s = [float(x[i] @ y[j]) / temperature for j in range(len(y))]
            partners = [j for j in range(len(y)) if mine[i] == yours[j]]
            if same_class == "soft":
                if partners:
                    log_sum = math.log(sum(map(math.exp, s)))
                    rows.append(-sum(s[j] - log_sum for j in partners) / len(partners))
            else:
                kept = [j for j in range(len(y)) if j == i or j not in partners]
                rows.append(math.log(sum(math.exp(s[j]) for j in kept)) - s[i])
        total.append(sum(rows) / len(rows))
    return sum(total) / 2


@pytest.mark.parametrize("same_class", ["soft", "mask"])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_loss_equals_its_naive_twin(same_class, temperature):
    a, b, y = embeddings(9, 1), embeddings(9, 2), torch.tensor([0, 0, 1, 2, 1, 0, 3, 3, 2])
    found = contrastive_loss(a, b, y, temperature=temperature, same_class=same_class)
    assert math.isclose(float(found), naive_loss(a, b, y, y, temperature, same_class), rel_tol=1e-9)


def test_soft_targets_need_no_pairs():
    a, b = embeddings(4, 1), embeddings(4, 2)
    y, z = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 0, 1, 5])
    assert math.isclose(
        float(contrastive_loss(a, b, y, z)), naive_loss(a, b, y, z, 1.0, "soft"), rel_tol=1e-9
    )
    none = contrastive_loss(a, b, y, y + 10)
    assert float(none) == 0.0


@pytest.mark.parametrize("same_class", ["soft", "mask"])
def test_samples_of_one_class_do_not_repel_each_other(same_class):
    """d loss/d similarity of two samples of one class is not positive, where CLIP's would be."""
    y = torch.tensor([0, 0, 0, 1])
    a = torch.eye(4, dtype=torch.float64)
    b = (0.5 * torch.ones(4, 4, dtype=torch.float64)).requires_grad_()  # S = a bᵀ: all similarities 0.5
    contrastive_loss(a, b, y, same_class=same_class).backward()
    pull = b.grad.t()
    off = pull[0, 1]
    assert off <= 1e-12 and (same_class == "soft" or off == 0)
    assert pull[0, 3] > 0.01  # another class does repel
    c = b.detach().clone().requires_grad_()
    place = torch.arange(4)
    (F.cross_entropy(a @ c.t(), place) + F.cross_entropy((a @ c.t()).t(), place)).backward()
    assert c.grad.t()[0, 1] > 0.01


def test_bad_batches_are_refused():
    a, y = embeddings(4, 1), torch.tensor([0, 1, 2, 3])
    with pytest.raises(UserError, match="equal shape"):
        contrastive_loss(a, a[:3], y)
    with pytest.raises(UserError, match="temperature"):
        contrastive_loss(a, a, y, temperature=0.0)
    with pytest.raises(UserError, match="takes pairs"):
        contrastive_loss(a, a, y, y.flip(0), same_class="mask")
    with pytest.raises(UserError, match='"soft" or "mask"'):
        contrastive_loss(a, a, y, same_class="hard")  # type: ignore[arg-type]


def test_projection_is_one_layer_with_gelu_of_length_one():
    net = Embedding(20, 6, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(5, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    g = F.gelu(x @ net.linear.weight.t() + net.linear.bias)
    assert torch.allclose(net(x), g / g.norm(dim=1, keepdim=True))
    same = Embedding(20, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net.linear.weight.float(), same.linear.weight)


# -- retrieval of unseen classes --------------------------------------------------------------------------------------


def made_up(shared: bool, seed: int = 0, per_class: int = 40) -> pairs.Features:
    """Two senses of ten classes; each class is a point, the same for both senses or not, seen through a random matrix."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(10), per_class)
    ask = np.tile(np.arange(per_class) % 4 == 0, 10)
    points, counts = rng.normal(size=(2, 10, 3)), []
    for side in range(2):
        latent = points[0 if shared else side][y] + 0.1 * rng.normal(size=(len(y), 3))
        counts.append(latent @ rng.normal(size=(3, 30)) + 5)
    return pairs.Features(tuple(counts), (y, y), (~ask, ~ask), (ask, ask))  # type: ignore[arg-type]


SOME = pairs.PAIRS[::5]
BRIEF = pairs.Training(steps=100, batch=64, temperature=0.1)


def unseen(results):
    return float(np.mean([r["unseen"]["nearest"] for r in results]))


def test_what_both_senses_share_carries_over_to_unseen_classes():
    shared = made_up(True)
    found = pairs.rotation(shared, SOME, BRIEF, 0)
    assert unseen(found) > 0.8 and np.mean([r["seen"]["nearest"] for r in found]) > 0.8
    assert pairs.shared_structure(shared)["correlation"] > 0.9 and pairs.shared_structure(shared)["p"] < 0.01
    control = [unseen(pairs.rotation(made_up(True, k), SOME, BRIEF, k, shuffled=True)) for k in range(2)]
    assert 0.3 < np.mean(control) < 0.7


def test_what_they_do_not_share_does_not():
    found = [pairs.rotation(made_up(False, k), SOME, BRIEF, k) for k in range(2)]
    assert (
        np.mean([r["seen"]["nearest"] for r in found[0]]) > 0.8
    )  # alignment of seen classes is learned all the same
    assert 0.3 < np.mean([unseen(f) for f in found]) < 0.7
    assert abs(pairs.shared_structure(made_up(False))["correlation"]) < 0.5


def test_held_out_digits_and_test_samples_are_not_looked_at():
    """Training gives the same answers whatever the unseen digits' training samples and anybody's test samples are."""
    features = made_up(True)
    seen = tuple(d for d in range(10) if d not in (2, 6))
    hidden = np.isin(features.labels[0], (2, 6)) | features.ask[0]
    other = [np.where(hidden[:, None], 99.0, c) for c in features.counts]
    changed = pairs.Features(tuple(other), features.labels, features.learn, features.learn)  # type: ignore[arg-type]
    usual = pairs.Features(features.counts, features.labels, features.learn, features.learn)
    last = [list(pairs.train(f, seen, BRIEF, 3))[-1] for f in (usual, changed)]
    kept = np.isin(features.labels[0][features.learn[0]], seen)
    assert all(torch.equal(a[kept], b[kept]) for a, b in zip(*last, strict=True))


def test_retrieval_counts_by_hand():
    pictures = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [5.0, 5.0]]), dim=1)
    sounds = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0]]), dim=1)
    asked = [np.array([3, 7, 7, 4]), np.array([3, 7, 7])]
    found = pairs.retrieval(asked, [pictures, sounds], (3, 7))
    assert math.isclose(found["nearest"], 2 / 3) and found["by class"] == [1.0, 0.5]
    # the mean of the pictures of 7 is as near as (0.35, 0.85): still 3 for the second sound
    assert math.isclose(found["means"], 2 / 3)


def test_jackknife_knows_that_pairs_share_digits():
    rng = np.random.default_rng(0)
    inside, wrong = 0, 0
    for _ in range(300):
        effect = rng.normal(size=10)
        values = [0.5 * (effect[a] + effect[b]) for a, b in pairs.PAIRS]
        mean, low, high = pairs.jackknife(pairs.PAIRS, values)
        assert math.isclose(mean, np.mean(values))
        inside += low <= 0 <= high
        half = 1.96 * np.std(values) / math.sqrt(len(values))
        wrong += abs(mean) <= half
    assert 0.9 < inside / 300 < 0.99 and wrong / 300 < 0.8


def test_operations_by_hand():
    from snnkit.events import EventTensor

    def of(name, T, M):
        ev = EventTensor.from_dense(torch.ones(T, 1, M), 1e-3)
        none = np.zeros(1, bool)
        return Modality(name, ev, np.zeros(1, np.int64), none, none, None, 0.9, 5.0)

    both = (of("N-MNIST", 50, 256), of("speech", 129, 64))
    E = [50 * (256 * 200 + 200**2), 129 * (64 * 200 + 200**2)]
    P = 2 * 200 * 64
    found = operations.training(both, passes=1000, stored=(30, 40))
    assert NEURONS == 200 and [operations.encoder(d) for d in both] == E
    assert found["trained"] == 1000 * 3 * (sum(E) + P)
    assert found["frozen, counts kept"] == 1000 * 3 * P + 30 * E[0] + 40 * E[1]
    assert math.isclose(found["ratio, digital"], (sum(E) + P) / P)
    assert math.isclose(found["ratio, every pass"], 3 * (sum(E) + P) / (3 * P + sum(E)))


# -- on data ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    setting = Setting(quick=True)
    return images(setting), speech(setting)


@needs_data
def test_input_is_as_specified(small):
    seen, heard = small
    assert (
        seen.ev.shape[0] == 50 and seen.channels == 256 and heard.ev.shape[0] == 129 and heard.channels == 64
    )
    assert seen.ev.values is not None and heard.ev.values is None  # events counted; spikes 0 or 1
    for data in small:
        assert not (data.valid & data.test).any() and (data.fit | data.valid | data.test).all()
        assert 0.15 < data.valid.sum() / data.train.sum() < 0.25
    from snnkit import datasets

    first, _ = datasets.load("nmnist", "train")[0]
    inside = (first.p == 0) & (abs(first.x - 16.5) < 8) & (abs(first.y - 16.5) < 8)
    cells = {(t // 6200, (y - 9) * 16 + x - 9) for t, x, y in zip(first.t[inside], first.x[inside], first.y[inside], strict=True) if t < 310_000}  # fmt: skip
    found = seen.ev.batch(0).dense()[:, 0].nonzero().tolist()
    assert {tuple(c) for c in found} == {(int(t), int(k)) for t, k in cells}


@needs_data
def test_gain_decides_between_dead_and_saturated(small):
    assert max(GAINS) / min(GAINS) >= 1000
    found = sweep(small[0], (0.01, 0.3, 10.0), (1000,))
    dead, good, busy = found["sweep"]
    assert dead["rate"] == 0 and dead["valid"] < 0.3
    assert 0.01 < good["rate"] < 0.1 < busy["rate"] and good["valid"] > busy["valid"]
    assert found["gain"] == 0.3


@needs_data
def test_more_read_noise_changes_more(small):
    rows = with_noise(
        small[0].subset(np.arange(len(small[0].labels)) % 3 == 0), 0.3, 0.01, 0, (0.0, 0.02, 0.1)
    )
    assert rows[0]["changed"] == 0 < rows[1]["changed"] < rows[2]["changed"]


@needs_data
def test_trained_encoders_learn_something(small):
    """Some steps through time lower the loss of seen digits: gradients reach the synapses of both encoders."""
    net = trained.Encoder(small[0], 0.3, torch.Generator().manual_seed(0))
    x = small[0].ev.batch(slice(0, 4)).dense()
    net(x).square()[:, 0].sum().backward()
    assert float(net.synapses.weight.grad.abs().sum()) > 0
    assert float(net.cells.weight.weight.grad.abs().sum()) > 0


def test_standardisation_uses_training_rows_only():
    x = np.random.default_rng(0).random((20, 3)) * np.array([10, 1, 0])
    rows = np.arange(20) < 10
    z = standard(x, rows)
    assert np.allclose(z[rows].mean(0), 0, atol=1e-5) and np.allclose(z[rows].std(0)[:2], 1, atol=1e-4)
    assert np.array_equal(z[:, 2], np.zeros(20))


@needs_data
def test_the_whole_experiment_in_small(tmp_path):
    setting = Setting(quick=True, seeds=(0,), keep=tmp_path / "kept")
    found = systems.reproduce("zero-shot", setting)
    what = [row.what for row in found.rows]
    assert sum("ten classes from 200" in w for w in what) == 2 and any("cross-validation" in w for w in what)
    assert sum("read noise" in w for w in what) == 2 * len(QUICK.noise)
    for words in (
        "two unseen digits",
        "shuffled",
        "published pair 8 and 9",
        "plain event counts",
        "positive control",
    ):
        assert any(words in w for w in what), words
    assert all(math.isfinite(v) for row in found.rows for v in row.values)
    out = tmp_path / "out"
    out.mkdir()
    files = found.write(out)
    assert {"gain.png", "noise.png", "pairs.png"} <= {f.name for f in files}
    assert json.loads((out / "result.json").read_text())["name"] == "zero-shot"
    again = systems.reproduce("zero-shot", setting)
    assert [r.values for r in again.rows] == [r.values for r in found.rows]
