"""Online learning rules against backpropagation through time, where theory says they agree and where it says they do not."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.nn import functional as F

import snnkit
from snnkit import (
    IF,
    LIF,
    AdaptiveLIF,
    BatchNorm,
    Conv2d,
    CubaLIF,
    EventTensor,
    Flatten,
    Linear,
    Recurrent,
    surrogate,
)
from snnkit.errors import UserError
from snnkit.neurons import LeakyIntegrator, use_reference
from snnkit.training import online

DT = 1e-3
SOFT = surrogate.ATan(alpha=2.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(T: int = 12, B: int = 3, n: int = 5, seed: int = 1) -> torch.Tensor:
    return (torch.rand(T, B, n, generator=generator(seed)) < 0.4).double()


def mse(y: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(y, target)


def through_time(net: snnkit.Sequential, x: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of the sum of the steps' losses by backpropagation through time."""
    net.zero_grad()
    with use_reference():
        y = net(x)
    sum(mse(y_t, target) for y_t in y).backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def stepwise(learner: online.OnlineLearner, x: torch.Tensor, target: torch.Tensor):
    learner.net.zero_grad()
    learner.reset()
    y = torch.stack([learner.step(x_t, target) for x_t in x])
    return y, {name: p.grad.clone() for name, p in learner.net.named_parameters()}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.abs().max() > 0 and torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def lif(**options) -> LIF:
    return LIF(tau=10e-3, dt=DT, threshold=0.7, surrogate=SOFT, **options)


def target(classes: int = 2, B: int = 3) -> torch.Tensor:
    return torch.randn(B, classes, generator=generator(7), dtype=torch.float64)


# -- e-prop ---------------------------------------------------------------------------------------------------------------

CELLS = {
    "lif": lif,
    "lif, reset to zero": lambda: lif(reset="zero"),
    "lif, detached reset": lambda: lif(detach_reset=True),
    "if": lambda: IF(threshold=0.7, surrogate=SOFT),
    "cuba": lambda: CubaLIF(tau_mem=10e-3, tau_syn=5e-3, dt=DT, threshold=1.5, surrogate=SOFT),
    "adaptive": lambda: AdaptiveLIF(tau=10e-3, tau_adapt=50e-3, dt=DT, threshold=0.7, surrogate=SOFT),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("leaky", [True, False])
def test_eprop_is_backpropagation_through_time_for_one_feed_forward_layer(cell, leaky):
    net = snnkit.Sequential(
        Linear(5, 6, bias=True, generator=generator(2)),
        CELLS[cell](),
        Linear(6, 2, bias=True, generator=generator(3)),
        *([LeakyIntegrator(tau=8e-3, dt=DT, scale_input=True)] if leaky else []),
    ).double()
    x, wanted = inputs(), target()
    with use_reference():
        expected = net(x)
    assert 0 < net[1](net[0](x)).mean() < 1
    gradients = through_time(net, x, wanted)
    y, found = stepwise(online.EProp(net, mse), x, wanted)
    assert torch.allclose(y, expected)
    for name, gradient in gradients.items():
        assert same(found[name], gradient), name


def recurrent_net() -> snnkit.Sequential:
    back = torch.randn(6, 6, generator=generator(4), dtype=torch.float64) * 0.6
    return snnkit.Sequential(
        Linear(5, 6, generator=generator(2)),
        Recurrent(lif(), back),
        Linear(6, 2, generator=generator(3)),
        LeakyIntegrator(tau=8e-3, dt=DT),
    ).double()


def test_eprop_leaves_out_what_spikes_do_to_other_neurons_later():
    net, x, wanted = recurrent_net(), inputs(), target()
    gradients = through_time(net, x, wanted)
    y, found = stepwise(online.EProp(net, mse), x, wanted)
    with use_reference():
        assert torch.allclose(y, net(x))
    assert same(found["2.weight"], gradients["2.weight"])
    for name in ("0.weight", "1.weight.weight"):
        assert not torch.allclose(found[name], gradients[name], rtol=1e-2)
        alike = F.cosine_similarity(found[name].flatten(), gradients[name].flatten(), dim=0)
        assert 0.5 < alike < 0.9999, name


class Cut(torch.nn.Module):
    """Recurrent synapses through which no gradient returns: what e-prop assumes."""

    def __init__(self, weight: torch.nn.Parameter):
        super().__init__()
        self.weight = weight

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        return F.linear(spikes.detach(), self.weight)


def test_eprop_is_backpropagation_through_time_with_recurrent_gradients_cut():
    net, x, wanted = recurrent_net(), inputs(), target()
    _, found = stepwise(online.EProp(net, mse), x, wanted)
    cut = recurrent_net()
    cut[1].weight = Cut(cut[1].weight.weight)
    gradients = through_time(cut, x, wanted)
    for name in ("0.weight", "2.weight"):
        assert same(found[name], gradients[name]), name
    assert same(found["1.weight.weight"], gradients["1.weight.weight"])


def test_eprop_with_two_hidden_layers_and_random_feedback_keeps_the_readouts_gradient():
    net = snnkit.Sequential(
        Linear(5, 8, generator=generator(2)), lif(), Linear(8, 6, generator=generator(5)), lif(),
        Linear(6, 2, generator=generator(3)),
    ).double()  # fmt: skip
    x, wanted = inputs(), target()
    gradients = through_time(net, x, wanted)
    _, symmetric = stepwise(online.EProp(net, mse), x, wanted)
    _, random = stepwise(online.EProp(net, mse, feedback="random", generator=generator(9)), x, wanted)
    for name in ("2.weight", "4.weight"):  # nothing is left out behind the last hidden layer
        assert same(symmetric[name], gradients[name]), name
    assert not torch.allclose(symmetric["0.weight"], gradients["0.weight"])
    assert same(random["4.weight"], gradients["4.weight"])
    assert not torch.allclose(random["2.weight"], gradients["2.weight"])


# -- OTTT -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lif, detached reset", "if", "cuba"])
def test_ottt_is_backpropagation_through_time_for_one_layer_with_detached_reset(cell):
    neuron = CELLS[cell]()
    neuron.detach_reset = True
    net = snnkit.Sequential(Linear(5, 4, bias=True, generator=generator(2)), neuron).double()
    x, wanted = inputs(), target(4)
    gradients = through_time(net, x, wanted)
    _, found = stepwise(online.OTTT(net, mse), x, wanted)
    assert all(same(found[name], gradient) for name, gradient in gradients.items())


def test_ottt_leaves_out_the_reset_and_later_effects_of_hidden_spikes():
    def deep(**options) -> snnkit.Sequential:
        return snnkit.Sequential(
            Linear(5, 6, generator=generator(2)), lif(**options), Linear(6, 2, generator=generator(3)), lif(**options)
        ).double()  # fmt: skip

    x, wanted = inputs(), target()
    net = deep(detach_reset=True)
    gradients = through_time(net, x, wanted)
    _, found = stepwise(online.OTTT(net, mse), x, wanted)
    assert same(found["2.weight"], gradients["2.weight"])
    assert not torch.allclose(found["0.weight"], gradients["0.weight"], rtol=1e-2)
    whole = through_time(deep(), x, wanted)
    assert not torch.allclose(found["2.weight"], whole["2.weight"], rtol=1e-2)


def test_ottt_hidden_layer_is_exact_where_the_layer_behind_has_no_memory():
    net = snnkit.Sequential(
        Linear(5, 6, generator=generator(2)), lif(detach_reset=True), Linear(6, 2, generator=generator(3))
    ).double()
    x, wanted = inputs(), target()
    gradients = through_time(net, x, wanted)
    _, found = stepwise(online.OTTT(net, mse), x, wanted)
    assert all(same(found[name], gradient) for name, gradient in gradients.items())


def test_ottt_through_convolution_and_flatten():
    net = snnkit.Sequential(
        Conv2d(1, 2, 3, bias=True, generator=generator(2)), lif(detach_reset=True), Flatten(),
        Linear(8, 2, generator=generator(3)),
    ).double()  # fmt: skip
    x, wanted = inputs(n=16).view(12, 3, 1, 4, 4), target()
    gradients = through_time(net, x, wanted)
    _, found = stepwise(online.OTTT(net, mse), x, wanted)
    assert all(same(found[name], gradient) for name, gradient in gradients.items())


# -- DECOLLE --------------------------------------------------------------------------------------------------------------


def test_decolle_is_backpropagation_of_each_layers_own_loss():
    net = snnkit.Sequential(
        Linear(5, 6, generator=generator(2)), lif(detach_reset=True),
        Linear(6, 4, generator=generator(3)), lif(detach_reset=True),
    ).double()  # fmt: skip
    x, wanted = inputs(), target()
    learner = online.DECOLLE(net, 2, mse, generator=generator(5))
    y, found = stepwise(learner, x, wanted)
    net.zero_grad()
    with use_reference():
        first = net[1](net[0](x))
        second = net[3](net[2](first.detach()))
    readouts = {k: torch.stack([learner.readout(k, s_t) for s_t in s]) for k, s in ((1, first), (3, second))}
    sum(mse(y_t, wanted) for each in readouts.values() for y_t in each).backward()
    assert torch.allclose(y, readouts[3].detach())
    assert all(same(found[name], p.grad) for name, p in net.named_parameters())


# -- what all of them do ----------------------------------------------------------------------------------------------------


def learners(hidden: int = 40) -> dict[str, online.OnlineLearner]:
    def head() -> list:
        return [Linear(12, hidden, generator=generator(2)), lif(detach_reset=True)]

    def full() -> snnkit.Sequential:
        return snnkit.Sequential(
            *head(), Linear(hidden, 3, generator=generator(3)), LeakyIntegrator(tau=20e-3, dt=DT)
        )

    recurrent = snnkit.Sequential(
        Linear(12, hidden, generator=generator(2)),
        Recurrent(lif(), 0.1 * torch.randn(hidden, hidden, generator=generator(4))),
        Linear(hidden, 3, generator=generator(3)),
        LeakyIntegrator(tau=20e-3, dt=DT),
    )
    return {
        "eprop": online.EProp(full(), F.cross_entropy),
        "eprop, random": online.EProp(full(), F.cross_entropy, feedback="random", generator=generator(6)),
        "eprop, recurrent": online.EProp(recurrent, F.cross_entropy),
        "ottt": online.OTTT(full(), F.cross_entropy),
        "decolle": online.DECOLLE(snnkit.Sequential(*head()), 3, F.cross_entropy, generator=generator(5)),
    }


def task(B: int, seed: int, T: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes: which third of the twelve channels fires more."""
    labels = torch.randint(3, (B,), generator=generator(seed))
    rate = torch.full((B, 3, 4), 0.15)
    rate[torch.arange(B), labels] = 0.3
    return (torch.rand(T, B, 12, generator=generator(seed + 100)) < rate.view(B, 12)).float(), labels


@pytest.mark.parametrize("rule", learners())
def test_a_small_task_is_learned_with_any_optimizer_of_torch(rule):
    learner = learners()[rule]
    optimizer = torch.optim.Adam(learner.net.parameters(), lr=2e-2)
    test, truth = task(200, 1)

    def accuracy() -> float:
        learner.reset()
        return float((learner.run(test).mean(0).argmax(1) == truth).float().mean())

    before = accuracy()
    for epoch in range(25):
        x, labels = task(50, 10 + epoch)
        optimizer.zero_grad()
        learner.reset()
        for x_t in x:
            learner.step(x_t, labels)
        optimizer.step()
    assert accuracy() > 0.8 > before + 0.1, (before, accuracy())


def alive() -> int:
    gc.collect()
    seen = {id(o): o.numel() for o in gc.get_objects() if type(o) in (torch.Tensor, torch.nn.Parameter)}
    return sum(seen.values())


@pytest.mark.parametrize("rule", learners())
def test_memory_does_not_grow_with_the_sequence(rule):
    learner = learners(8)[rule]
    x, labels = task(4, 3, T=60)
    held, numbers = [], []
    first, last = 5, 59
    for t, x_t in enumerate(x):
        learner.step(x_t, labels)
        if t in (first, last):
            held.append(sum(part.numel() for part in learner.tensors()))
            numbers.append(alive())
            assert not any(part.requires_grad or part.grad_fn for part in learner.tensors())
    assert held[0] == held[1] > 0
    # What other tests left in this process may come and go; one number kept per step could not hide.
    assert numbers[1] - numbers[0] < (last - first) // 2


@pytest.mark.parametrize("rule", learners())
def test_without_a_target_nothing_is_learned_and_reset_begins_anew(rule):
    learner = learners(8)[rule]
    x, labels = task(4, 3)
    first = learner.run(EventTensor.from_dense(x, DT))
    assert all(p.grad is None for p in learner.net.parameters())
    assert not torch.equal(learner.run(x), first)  # went on from there
    learner.reset()
    assert torch.equal(learner.run(x), first)
    learner.reset()
    assert torch.equal(learner.run(x, labels), first)
    once = [p.grad.clone() for p in learner.net.parameters()]
    learner.reset()
    learner.run(x, labels)
    for gradient, p in zip(once, learner.net.parameters(), strict=True):
        assert torch.allclose(p.grad, 2 * gradient, rtol=1e-4, atol=1e-6)


def test_a_sequence_that_stops_learning_half_way_is_one_with_no_loss_there():
    net = snnkit.Sequential(
        Linear(5, 6, generator=generator(2)), lif(), Linear(6, 2, generator=generator(3))
    ).double()
    x, wanted = inputs(), target()
    learner = online.EProp(net, mse)
    for t, x_t in enumerate(x):
        learner.step(x_t, wanted if t >= 6 else None)
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with use_reference():
        sum(mse(y_t, wanted) for y_t in net(x)[6:]).backward()
    assert all(same(a, p.grad) for a, p in zip(found, net.parameters(), strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), AdaptiveLIF(tau=1e-2, tau_adapt=0.1, dt=DT)), mse), "EProp"),
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), LIF(tau=[1e-2, 2e-2], dt=DT)), mse), "one time constant"),
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), Flatten(), lif()), mse), "followed by its neuron"),
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), lif(), BatchNorm(2)), mse), "BatchNorm"),
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), Recurrent(lif(), torch.eye(2))), mse), "followed by"),
        (lambda: online.OTTT(snnkit.Sequential(lif()), mse), "to train"),
        (lambda: online.OTTT(snnkit.Sequential(Linear(3, 2), lif(learn="tau")), mse), "learn"),
        (lambda: online.DECOLLE(snnkit.Sequential(Linear(3, 2)), 2, mse), "end the net with a neuron"),
        (lambda: online.EProp(snnkit.Sequential(Linear(3, 2), lif()), mse), "readout"),
        (lambda: online.EProp(snnkit.Sequential(Linear(3, 2)), mse), "in turn"),
        (lambda: online.EProp(snnkit.Sequential(Linear(3, 2), lif(), Linear(2, 2)), mse, feedback="x"), "feedback"),
    ],
)  # fmt: skip
def test_what_a_rule_cannot_train_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
