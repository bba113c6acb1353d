"""Reproductions: complexity against a naive parser, the tempotron against its equations, and the command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snnkit
from snnkit import systems
from snnkit.cli.app import run
from snnkit.errors import UserError
from snnkit.liquid.complexity import lempel_ziv_complexity, lempel_ziv_words
from snnkit.plasticity.tempotron import Tempotron
from snnkit.systems.lzc import bernoulli, markov
from snnkit.systems.tempotron import latency_code, random_patterns

# -- Lempel-Ziv -------------------------------------------------------------------------------------------------------


def naive_words(s: str) -> int:
    """Each word is the shortest that is not found in what precedes its last symbol."""
    count, start = 0, 0
    while start < len(s):
        end = start + 1
        while end <= len(s) and s[start:end] in s[: end - 1]:
            end += 1
        count, start = count + 1, end
    return count


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_words_are_those_of_the_naive_parser(bits):
    assert lempel_ziv_words(bits) == naive_words("".join(map(str, bits)))


def test_known_words():
    strings = ["0" * 16, "01" * 8, "0001101001000101"]
    assert lempel_ziv_words([[int(c) for c in s] for s in strings]).tolist() == [2, 3, 6]


def test_complexity_of_known_sources():
    rng = np.random.default_rng(0)
    fair = lempel_ziv_complexity(bernoulli(0.5, 100, rng)).mean()
    fifth, quarter = (lempel_ziv_complexity(bernoulli(p, 200, rng)).mean() for p in (0.2, 0.25))
    held = lempel_ziv_complexity(markov(0.2, 0.6, 200, rng))
    assert 1.0 < fair < 1.1
    assert abs(fifth - 0.75) < 0.01 and abs(quarter - 0.856) < 0.01
    assert abs(held.mean() - 0.539) < 0.015


def test_markov_source_has_its_rate_and_correlation():
    x = markov(0.2, 0.6, 500, np.random.default_rng(1)).astype(float)
    assert abs(x.mean() - 0.2) < 0.01
    assert abs(np.corrcoef(x[:, 1:].ravel(), x[:, :-1].ravel())[0, 1] - 0.6) < 0.02


def test_counts_are_refused():
    with pytest.raises(UserError, match="zeros and ones"):
        lempel_ziv_words([0, 2, 1])
    with pytest.raises(UserError, match="n at least 1"):
        lempel_ziv_words([])
    with pytest.raises(UserError, match="at least 2"):
        lempel_ziv_complexity([1])


# -- tempotron --------------------------------------------------------------------------------------------------------


def test_kernel_has_peak_one_at_its_place():
    cell = Tempotron()
    u = np.linspace(-0.02, 0.1, 12001)
    peak = cell.tau * cell.tau_s / (cell.tau - cell.tau_s) * np.log(cell.tau / cell.tau_s)
    assert abs(cell.norm - 2.1165) < 1e-4
    assert abs(cell.kernel(u).max() - 1) < 1e-6 and abs(u[cell.kernel(u).argmax()] - peak) < 2e-5
    assert (cell.kernel(u[u <= 0]) == 0).all()


def naive_potential(cell: Tempotron, x: snnkit.EventTensor, weights: np.ndarray) -> np.ndarray:
    """V[t, b] on the grid, with the tail, from the definition."""
    dense = x.dense().numpy()
    steps = len(dense) + round(cell.tail / x.dt)
    v = np.zeros((steps, dense.shape[1]))
    for t in range(steps):
        for past in range(min(t + 1, len(dense))):
            v[t] += cell.kernel((t - past) * x.dt) * (dense[past] @ weights)
    return v


def patterns(seed: int = 0) -> snnkit.EventTensor:
    return random_patterns(20, 6, np.random.default_rng(seed), duration=0.05)


def test_potentials_are_those_of_the_definition():
    x = patterns()
    cell = Tempotron(epochs=3, spread=0.3).fit(x, [0, 1, 0, 1, 1, 0])
    expected = np.maximum(naive_potential(cell, x, cell.weights_[:, 0]).max(0), 0)
    np.testing.assert_allclose(cell.potentials(x)[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_one_error_moves_the_weights_by_the_kernel_at_the_highest_potential():
    x, rate = random_patterns(20, 2, np.random.default_rng(1), duration=0.05), 0.02
    start = np.random.default_rng(0).normal(0.0, 0.01, (20, 1))
    cell = Tempotron(epochs=1, rate=rate).fit(x, [0, 1])
    assert cell.errors_ == [1]  # the spike that was wanted and missed; the other pattern stays silent
    best = int(naive_potential(cell, x, start[:, 0])[:, 1].argmax())
    dense = x.dense().numpy()[:, 1]
    change = sum(cell.kernel((best - t) * x.dt) * dense[t] for t in range(min(best, len(dense))))
    np.testing.assert_allclose(cell.weights_[:, 0], start[:, 0] + rate * change, rtol=1e-9)


def test_learns_random_patterns_below_capacity_and_not_above():
    for load, learned in ((1.0, True), (4.0, False)):
        count = round(load * 60)
        x = random_patterns(60, count, np.random.default_rng(2))
        y = np.random.default_rng(3).permutation(np.arange(count) % 2)
        cell = Tempotron(epochs=300, rate=1e-2).fit(x, y)
        assert (cell.score(x, y) == 1) == learned and (cell.errors_[-1] == 0) == learned


def test_several_classes_threads_and_seeds():
    x, y = patterns(4), np.array(["a", "b", "c", "a", "b", "c"])
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(Tempotron(epochs=200, rate=0.02, seed=5).fit(x, y).potentials(x))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)
    assert Tempotron(epochs=200, rate=0.02, seed=5).fit(x, y).score(x, y) == 1


@pytest.mark.parametrize(
    "what, words",
    [
        (lambda: Tempotron(tau=5e-3, tau_s=5e-3), "tau_s < tau"),
        (lambda: Tempotron().fit(patterns(), [0, 1]), "6 labels"),
        (lambda: Tempotron().fit(patterns(), [1] * 6), "two classes"),
        (lambda: Tempotron().predict(patterns()), "fit"),
        (lambda: Tempotron(rate=0.0), "rate > 0"),
    ],
)
def test_mistakes_are_named(what, words):
    with pytest.raises(UserError, match=words):
        what()


def test_latency_code_is_brightest_first():
    x = latency_code(np.array([[[1.0, 0.5], [0.1, 0.2]]]))
    dense = x.dense()[:, 0]
    assert dense.sum() == 3 and dense[0, 0] == 1 and dense[50, 1] == 1 and dense[80, 3] == 1


# -- the command ------------------------------------------------------------------------------------------------------


def test_lists_and_runs(tmp_path, capsys):
    assert run(["reproduce", "--json"]) == 0
    assert {"lzc", "tempotron"} <= {row["name"] for row in json.loads(capsys.readouterr().out)}
    out = tmp_path / "lzc"
    assert run(["reproduce", "lzc", "--quick", "--seeds", "1", "--json", "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "result.json").read_text())
    rows = {row["what"]: row for row in result["rows"]}
    markov_row = rows["Markov of equal rate, correlation 0 or 0.6: complexity of the input"]
    assert markov_row["mean"] > 0.9 and markov_row["passed"]
    assert "proves nothing" in (out / "table.md").read_text()
    assert (out / "accuracy.png").stat().st_size > 5000


@pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs MNIST in SNNKIT_DATA")
def test_tempotron_quick():
    result = systems.reproduce("tempotron", systems.Setting(quick=True, seeds=(0,)))
    rows = {row.what: row for row in result.rows}
    assert rows["MNIST 0 against 1, 2 passes"].mean > 0.85
    assert rows["random patterns learned at 1 per input"].passed


@pytest.mark.parametrize("quick", [True, False])
def test_people_are_told_that_a_quick_run_proves_nothing(quick, monkeypatch, capsys):
    row = systems.Measured("accuracy", (0.5,), bar="at least 0.9", passed=False)
    answer = lambda name, setting: systems.Reproduction(
        name, "Title", "Source", [row], "nothing", setting, 1.0
    )
    monkeypatch.setattr(systems, "reproduce", answer)
    assert run(["reproduce", "lzc", *(["--quick"] if quick else [])]) == 0
    assert ("proves nothing" in capsys.readouterr().out) == quick


def test_what_rounding_leaves_of_a_mean_is_shown_as_nothing():
    gaps = [systems.Measured("even", (0.03, -0.03 + 1e-9)), systems.Measured("small", (2e-9, 4e-9))]
    found = systems.Reproduction("x", "Title", "Source", gaps, "nothing", systems.Setting(), 1.0)
    assert [row[2] for row in found.table()[1]] == ["0 ± 0.042", "3e-09 ± 1.4e-09"]


def test_unknown_system_is_one_line(capsys):
    assert run(["reproduce", "tempotrom"]) == 2
    assert "did you mean 'tempotron'" in capsys.readouterr().err


# -- choices, and going on where a run stopped ------------------------------------------------------------------------


def test_a_choice_that_is_not_offered_is_refused(capsys):
    assert run(["reproduce", "lzc", "--quick", "--dataset", "mnist"]) == 2
    assert "no choice" in capsys.readouterr().err
    with pytest.raises(UserError, match="--neurons 7"):
        systems.reproduce("lzc", systems.Setting(neurons=7))


def test_finished_parts_are_not_done_twice(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"accuracy": [0.5, 0.25]}

    setting = systems.Setting(keep=tmp_path / "parts", seeds=(0,))
    first = setting.once("arm a/b, seed 0", make)
    assert setting.once("arm a/b, seed 0", make) == first == {"accuracy": [0.5, 0.25]} and len(calls) == 1
    with pytest.raises(UserError, match="empty folder"):
        systems.Setting(keep=tmp_path / "parts", quick=True).once("arm a/b, seed 0", make)


def test_a_part_that_fails_leaves_nothing(tmp_path):
    setting = systems.Setting(keep=tmp_path)
    with pytest.raises(ZeroDivisionError):
        setting.once("part", lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "part.json").write_text("half")
    with pytest.raises(UserError, match="not a finished part"):
        setting.once("part", dict)
