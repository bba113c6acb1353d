"""Place recognition: routes, scores by their definitions, the layers of VPRTempo, modules with STDP, and small runs."""

from __future__ import annotations

import os

import numpy as np
import pytest

from snnkit import systems
from snnkit.errors import UserError
from snnkit.systems import diehl_cook_network as net
from snnkit.systems.places import ensemble, routes, scores, tempo

needs_data = pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs the lens set in SNNKIT_DATA")


# -- routes ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def route() -> routes.Route:
    return routes.procedural(24)


def test_procedural_route_is_repeatable_and_its_passes_differ(route):
    again = routes.procedural(24)
    assert np.array_equal(route.queries, again.queries) and np.array_equal(route.references, again.references)
    assert not np.array_equal(routes.procedural(24, seed=1).queries, route.queries)
    assert route.references.shape == (2, 24, 28, 28) and route.queries.shape == (24, 28, 28)
    assert route.queries.min() >= 0 and route.queries.max() <= 1
    first, second = route.references
    assert 0.01 < np.abs(first - second).mean() < np.abs(first - np.roll(second, 1, 0)).mean()
    changed, other = (np.abs(one - route.queries).mean() for one in (first, np.roll(first, 1, 0)))
    assert (
        np.abs(first - second).mean() < changed < other
    )  # changed more, and still nearer than another place
    assert route.calibration.sum() == 5 and route.calibration[:5].all()


def test_patch_normalisation_by_its_definition():
    image = np.random.default_rng(0).random((12, 12))
    found = routes.patch_normalised(image, 5)
    patch = image[3:8, 2:7]
    expected = (np.clip((image[5, 4] - patch.mean()) / patch.std(), -1, 1) + 1) / 2
    assert abs(found[5, 4] - expected) < 1e-6
    assert np.allclose(routes.patch_normalised(np.full((9, 9), 0.3)), 0.5)
    assert np.allclose(
        routes.patch_normalised(0.2 + 0.5 * image, 5), found, atol=1e-6
    )  # brightness and contrast go


def test_tolerance_widens_along_the_route():
    truth = np.zeros((6, 2), bool)
    truth[0, 0] = truth[3, 1] = True
    assert routes.widened(truth, 2)[:, 0].tolist() == [True, True, True, False, False, False]
    assert routes.widened(truth, 2)[:, 1].tolist() == [False, True, True, True, True, True]
    assert np.array_equal(routes.widened(truth, 0), truth) and truth.sum() == 2


def test_rates_are_on_and_off_inputs_and_fields_undo_it():
    images = np.random.default_rng(0).random((3, 7, 7)).astype(np.float32)
    found = routes.rates(images)
    assert found.shape == (3, 784) and found.min() == 0
    assert ((found[:, :392] == 0) | (found[:, 392:] == 0)).all()  # a pixel is on or off
    assert np.allclose(routes.fields(found.T, (7, 7)), 2 * images - 1, atol=1e-6)
    assert routes.rates(np.full((2, 5, 28, 28), 0.5, np.float32)).shape == (2, 5, 1568)


@needs_data
def test_event_camera_routes():
    lens = routes.load(systems.Setting(dataset="lens"))
    assert lens.references.shape == (1, 724, 7, 7) and lens.queries.shape == (641, 7, 7)
    assert lens.truth.any(0).all() and lens.near.sum() > 4 * lens.truth.sum()
    assert 120 <= lens.calibration.sum() <= 140
    similarity = scores.absolute_differences(lens.references, lens.queries)
    everything = np.ones(641, bool)
    assert abs(scores.recall_at_1(similarity, lens.truth, everything) - 0.223) < 0.002
    assert abs(scores.recall_at_1(similarity, lens.near, everything) - 0.343) < 0.002
    example = routes.load(systems.Setting(dataset="lens-example"))
    assert example.references.shape == (1, 100, 28, 28) and example.truth.sum() == 100
    coded, _ = routes.contrast(example)
    assert coded.min() >= 0 and coded.max() <= 1 and abs(np.median(coded) - 0.5) < 0.1


# -- scores ---------------------------------------------------------------------------------------------------------------


def test_absolute_differences_are_of_the_best_traversal():
    references = np.array([[[[0.0, 0.0]], [[1.0, 1.0]]], [[[0.5, 0.5]], [[0.0, 1.0]]]], np.float32)
    queries = np.array([[[0.5, 0.4]]], np.float32)
    assert np.allclose(scores.absolute_differences(references, queries), [[-0.1], [-1.1]])


def test_sequences_add_up_along_the_diagonal():
    matrix = np.random.default_rng(0).random((6, 7))
    found = scores.in_sequence(matrix, 3)
    for p in range(6):
        for q in range(7):
            terms = [matrix[p - k, q - k] for k in range(3)] if min(p, q) >= 2 else [-np.inf]
            assert np.isclose(found[p, q], sum(terms)) or found[p, q] == sum(terms)
    assert np.array_equal(scores.in_sequence(matrix, 1), matrix)
    with pytest.raises(UserError, match="1 to 6"):
        scores.in_sequence(matrix, 7)


def naive_curve(similarity, truth, judged):
    """Precision and recall at every threshold, from the definition."""
    best, place = similarity.max(0), similarity.argmax(0)
    queries = [q for q in range(similarity.shape[1]) if judged[q]]
    points = []
    for limit in sorted((best[q] for q in queries), reverse=True):
        accepted = [q for q in queries if best[q] >= limit]
        right = sum(bool(truth[place[q], q]) for q in accepted)
        points.append((right / len(accepted), right / len(queries)))
    return points


def test_precision_and_recall_by_their_definition():
    rng = np.random.default_rng(3)
    similarity, truth = rng.random((5, 40)), rng.random((5, 40)) < 0.4
    judged = rng.random(40) < 0.7
    precision, recall = scores.precision_recall(similarity, truth, judged)
    assert (precision[0], recall[0]) == (1, 0)
    assert np.allclose(np.stack([precision, recall], 1)[1:], naive_curve(similarity, truth, judged))
    assert recall[-1] == precision[-1] == scores.recall_at_1(similarity, truth, judged)
    area = sum(
        (recall[k] - recall[k - 1]) * (precision[k] + precision[k - 1]) / 2 for k in range(1, len(recall))
    )
    assert np.isclose(scores.area((precision, recall)), area)


def test_perfect_and_hopeless_similarities(route):
    perfect = scores.figures(route.truth.astype(float), route)
    assert all(np.isclose(value, 1) for value in perfect.values())
    hopeless = scores.figures(np.roll(route.truth, 1, 0).astype(float), route)
    assert all(value == 0 for value in hopeless.values())


def test_judged_are_the_queries_that_nothing_was_chosen_with(route):
    similarity = route.truth.astype(float)
    similarity[:, route.calibration] = np.roll(similarity, 1, 0)[
        :, route.calibration
    ]  # wrong where it was chosen
    assert scores.figures(similarity, route)["R@1"] == 1
    assert scores.figures(similarity, route, route.calibration)["R@1"] == 0
    assert scores.for_choosing(similarity, route) == 0


# -- VPRTempo ---------------------------------------------------------------------------------------------------------------


def test_drawn_weights_add_up_to_one_by_sign():
    w = tempo.drawn(200, 50, 0.3, np.random.default_rng(0))
    assert np.allclose(np.where(w > 0, w, 0).sum(0), 1, atol=0.35)  # a pair with both signs is one synapse
    shares = (w > 0).mean(), (w < 0).mean()
    assert 0.05 < shares[0] < 0.11 and 0.25 < shares[1] < 0.31


def naive_features(images, n, inhibitory, seed):
    """The rule synapse by synapse."""
    rng = np.random.default_rng(seed)
    w = tempo.drawn(images.shape[1], n, inhibitory, rng).astype(float)
    theta = rng.uniform(0, 0.5, n)
    target = np.linspace(0.2, 0.9, n)
    shown = np.concatenate([rng.permutation(len(images)) for _ in range(tempo.EPOCHS)])
    signs = np.sign(w)
    for t, k in enumerate(shown):
        x, rate = images[k], (1 - t / len(shown)) ** 2
        for j in range(n):
            total = x @ w[:, j]
            a = min(max(total - theta[j], 0), 0.9)
            for i in range(len(x)):
                if signs[i, j] and x[i] > 0 and a > 0:
                    w[i, j] += signs[i, j] * 0.005 * rate * (0.5 - a)
                if signs[i, j] < 0:
                    w[i, j] = min(w[i, j] * (1 + 0.25 * rate * total), -1e-6)
                elif signs[i, j] > 0:
                    w[i, j] = max(w[i, j], 1e-6)
            theta[j] = max(theta[j] + 0.15 * rate * (a - target[j]), 0)
    return w, theta


def test_features_learn_as_their_naive_twin():
    images = np.random.default_rng(1).random((5, 9)).astype(np.float32)
    images[images < 0.4] = 0
    found = tempo.feature_layer(images, 7, 0.4, np.random.default_rng(2))
    w, theta = naive_features(images, 7, 0.4, 2)
    np.testing.assert_allclose(found.w, w, atol=1e-5)
    np.testing.assert_allclose(found.threshold, theta, atol=1e-5)
    assert np.array_equal(np.sign(found.w), np.sign(w))


def test_without_balance_features_fall_silent_on_sparse_images():
    images = np.random.default_rng(1).random((300, 49)).astype(np.float32) ** 3
    active = {
        balance: (
            tempo.feature_layer(images, 98, 0.5, np.random.default_rng(0), balance=balance)(images) > 0
        ).mean()
        for balance in (0.0, tempo.BALANCE)
    }
    assert active[0.0] < 0.15 and active[tempo.BALANCE] > 0.3, active


def test_output_neurons_learn_their_place():
    rng = np.random.default_rng(0)
    features = rng.random((10, 60)).astype(np.float32) * (rng.random((10, 60)) < 0.3)
    places = np.tile(np.arange(5), 2)
    w = tempo.output_layer(features, places, rng)
    answers = features @ w
    assert w.shape == (60, 5) and (answers.argmax(1) == places).all()
    right = answers[np.arange(10), places]
    assert (right > 0.1).all() and (right < 0.6).all()


# -- modules ----------------------------------------------------------------------------------------------------------------


def test_assignment_and_totals():
    counts = np.array([[4, 0, 0, 1], [0, 3, 0, 2], [2, 1, 0, 1], [0, 5, 0, 2]])  # two showings of places 0, 1
    classes = ensemble.assigned(counts, np.array([0, 1, 0, 1]), 2)
    assert classes.tolist() == [0, 1, -1, 1]
    spikes, members = ensemble.totals(counts, classes, 2)
    assert spikes.tolist() == [[4, 0, 2, 0], [1, 5, 2, 7]] and members.tolist() == [1, 2]


def test_removed_neurons_do_not_count():
    one = {"spikes": [[[6, 0]], [[1, 0]]], "members": [[3], [1]]}
    none_left = {"spikes": [[[2, 4]], [[0, 0]]], "members": [[2], [0]]}
    assert ensemble.similarity([one, none_left], 0).tolist() == [[2, 0], [1, 2]]
    assert ensemble.similarity([one, none_left], 1).tolist() == [[1, 0], [0, 0]]


@pytest.fixture(scope="module")
def trained():
    route = routes.procedural(24)
    references = routes.rates(route.references)
    own = references[:, :6]
    return (
        ensemble.trained(own.reshape(-1, references.shape[-1]), 24, 12, [0, 0]),
        references,
        routes.rates(route.queries),
    )


def test_a_module_is_scaled_level_and_still(trained):
    liquid, references, _ = trained
    assert np.allclose(net.weights(liquid).sum(0), 156, rtol=1e-4)
    own = liquid.begin()["a"][:24].numpy()
    level = ensemble.frozen(liquid).begin()["a"][:24].numpy()
    assert own.std() > 1e-4 and np.allclose(level, own.mean(), rtol=1e-5)
    assert np.allclose(ensemble.frozen(liquid, level=False).begin()["a"][:24].numpy(), own)
    rng = np.random.default_rng(0)
    frozen = ensemble.frozen(liquid)
    first = ensemble.responses(frozen, references[0, :4], rng, at_once=3)
    assert first.shape == (4, 24) and first.sum() > 20
    again = ensemble.responses(frozen, references[0, :4], np.random.default_rng(0), at_once=3)
    assert np.array_equal(first, again)


def test_a_module_knows_its_places_and_level_thresholds_help(trained):
    liquid, references, queries = trained
    right = {}
    for level in (True, False):
        frozen, rng = ensemble.frozen(liquid, level=level), np.random.default_rng(1)
        own = np.concatenate([ensemble.responses(frozen, one[:6], rng) for one in references])
        classes = ensemble.assigned(own, np.tile(np.arange(6), 2), 6)
        for what, images in (("seen", references[0, :6]), ("changed", queries[:6])):
            spikes, members = ensemble.totals(ensemble.responses(frozen, images, rng), classes, 6)
            right[what, level] = ((spikes / np.maximum(members, 1)[:, None]).argmax(0) == np.arange(6)).mean()
    assert right["seen", True] == 1
    assert right["changed", True] >= 0.5 and right["changed", True] >= right["changed", False], right


def test_a_module_answers_for_every_limit(trained):
    _, references, queries = trained
    plan = {"neurons": 20, "epochs": 2, "level": True}
    found = ensemble.module(references[:, :8], queries[:3], slice(0, 4), [0, 0], plan)
    spikes, members = np.array(found["spikes"]), np.array(found["members"])
    assert spikes.shape == (len(ensemble.LIMITS), 4, 3) and members.shape == (len(ensemble.LIMITS), 4)
    assert (np.diff(members.sum(1)) <= 0).all() and (np.diff(spikes.sum((1, 2))) <= 0).all()  # limits fall
    assert members[0].sum() + found["silent"] == 20
    assert np.array(found["weights"]).shape == (1568, 20)
    again = ensemble.module(references[:, :8], queries[:3], slice(0, 4), [0, 0], plan)
    assert again == found


# -- runs -------------------------------------------------------------------------------------------------------------------


def test_quick_tempo_on_textures(tmp_path):
    setting = systems.Setting(quick=True, seeds=(0,), dataset="procedural", keep=tmp_path / "keep")
    result = systems.reproduce("vprtempo", setting)
    rows = {row.what: row for row in result.rows}
    assert rows["VPRTempo: R@1"].mean > 0.5 and rows["VPRTempo: R@1 of 4 in sequence"].mean > 0.8
    again = systems.reproduce("vprtempo", setting)
    assert [r.values for r in again.rows] == [r.values for r in result.rows]  # kept, not run again
    out = tmp_path / "out"
    out.mkdir()
    names = {path.name for path in result.write(out)}
    assert {"similarity.png", "precision-recall.png", "weights.png", "table.md"} <= names


@needs_data
@pytest.mark.parametrize("name", ["place-ensemble", "vprtempo"])
def test_quick_runs_on_the_event_camera_set(name, tmp_path):
    result = systems.reproduce(name, systems.Setting(quick=True, seeds=(0,)))
    rows = {row.what: row for row in result.rows}
    first = "VPRTempo: R@1" if name == "vprtempo" else "all neurons: R@1"
    baseline = rows["sum of absolute differences: R@1"].mean
    assert 0.15 < rows[first].mean < baseline
    assert len(result.write(tmp_path)) == 5


def test_an_unknown_route_is_refused():
    with pytest.raises(UserError, match="lens-example"):
        systems.reproduce("vprtempo", systems.Setting(dataset="nordland"))
