"""Loops around layers and inhibition within one: against loops by hand, time cut anywhere, gradients, and what a chip would do."""

import pytest
import torch

from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.interop import to_nir
from snnkit.layers import Conv2d, DelayedLinear, Feedback, Lateral, Linear, Recurrent, Sequential
from snnkit.neurons import IF, LIF, LeakyIntegrator

MS = 1e-3
D = torch.float64


def drive(*shape, seed=0, dtype=D):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(n_in, n_out, seed):
    return Linear(n_in, n_out, generator=torch.Generator().manual_seed(seed))


def loop(back=None, **options):
    return Feedback(
        seeded(4, 6, 1), LIF(tau=9 * MS, dt=MS, threshold=0.4, **options), seeded(6, 3, 2), LIF(tau=9 * MS, dt=MS, threshold=0.3),
        back=back or seeded(3, 4, 3),
    )  # fmt: skip


def same(a, b):
    """Whether two states, tuples in tuples, are the same bits."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b if not isinstance(a, tuple) else all(same(x, y) for x, y in zip(a, b, strict=True))


# -- Feedback ---------------------------------------------------------------------------------------------------------


def test_a_loop_equals_its_equation():
    net, x = loop().double(), drive(25, 2, 4)
    state, last, rows = None, torch.zeros(2, 3, dtype=D), []
    for x_t in x:
        last, state = net.layers.step(x_t + last @ net.back.weight.t(), state)
        rows.append(last)
    y = net(x)
    assert torch.equal(y, torch.stack(rows)) and 0.05 < float(y.detach().mean()) < 0.95
    assert not torch.equal(y, net.layers(x))  # what returns makes a difference


@pytest.mark.parametrize(
    "back", [None, lambda: DelayedLinear(3, 4, max_delay=3 * MS, dt=MS)], ids=["plain", "delays"]
)
def test_cuts_and_steps_are_the_same_bits(back):
    torch.manual_seed(0)
    net, x = loop(back and back()).eval(), drive(20, 3, 4, dtype=torch.float32)
    with torch.no_grad():
        whole, end = net.scan(x)
        for cut in (1, 7, 19):
            head, state = net.scan(x[:cut])
            tail, last = net.scan(x[cut:], state)
            assert torch.equal(torch.cat([head, tail]), whole) and same(last[:2], end[:2])
        state, rows = None, []
        for x_t in x:
            y, state = net.step(x_t, state)
            rows.append(y)
    assert torch.equal(torch.stack(rows), whole) and torch.equal(net(x), whole)


def test_a_smooth_loop_has_the_gradients_of_finite_differences():
    net = Feedback(
        seeded(2, 3, 1),
        LeakyIntegrator(tau=4 * MS, dt=MS, learn="tau"),
        torch.nn.Tanh(),
        back=seeded(3, 2, 2),
    ).double()
    names, values = zip(
        *((k, p.detach().clone().requires_grad_()) for k, p in net.named_parameters()), strict=True
    )

    def run(x, *given):
        return torch.func.functional_call(net, dict(zip(names, given, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (drive(5, 2, 2).requires_grad_(), *values))


def test_gradients_reach_everything_through_spikes():
    net, x = loop(learn=("tau", "threshold")), drive(15, 2, 4, dtype=torch.float32).requires_grad_()
    (net(x) * torch.arange(15.0).view(-1, 1, 1)).sum().backward()
    assert all(bool(p.grad.any()) for p in [*net.parameters(), x])


def test_loops_in_loops_pictures_and_events():
    inner = Feedback(seeded(4, 4, 1), Recurrent(IF(), seeded(4, 4, 5)), back=seeded(4, 4, 2))
    net = Sequential(
        seeded(5, 4, 4),
        Feedback(inner, IF(), back=Sequential(seeded(4, 2, 6), seeded(2, 4, 7))),
        seeded(4, 2, 3),
    )
    x = (drive(8, 2, 5, dtype=torch.float32) < 0.5).float()
    y = net(x)
    head, state = net.scan(x[:3])
    assert torch.allclose(torch.cat([head, net.scan(x[3:], state)[0]]), y, atol=1e-6)
    assert torch.allclose(net(EventTensor.from_dense(x, MS)), y, atol=1e-6)
    picture = Feedback(Conv2d(2, 3, 3, padding=1), IF(), back=Conv2d(3, 2, 1))
    assert picture(drive(4, 1, 2, 5, 5, dtype=torch.float32)).shape == (4, 1, 3, 5, 5)


@torch.no_grad()
def test_a_loop_is_counted():
    net, x = loop(), (drive(12, 3, 4, dtype=torch.float32) < 0.6).float()
    state, count = None, dict.fromkeys(["in", "first", "last", "back"], 0.0)
    for x_t in x:
        count["back"] += 0.0 if state is None else float(state.last.sum())
        y, state = net.step(x_t, state)
        count["last"] += float(y.sum())
    with trace(net) as seen:
        net(x)
    assert seen.layers["back"].synops == pytest.approx(count["back"] * 4 / 3) and count["back"] > 0
    assert seen.layers["layers_3"].spikes == pytest.approx(count["last"] / 3)
    assert seen.layers["layers_2"].synops == pytest.approx(seen.layers["layers_1"].spikes * 3)
    assert not seen.uncounted
    with pytest.raises(UserError, match="layer 1 is a Feedback: "):
        to_nir(Sequential(seeded(4, 4, 0), net))


def test_mistakes_in_a_loop_are_said():
    with pytest.raises(UserError, match=r"back answers \(2, 5\)"):
        loop(seeded(3, 5, 1))(drive(4, 2, 4, dtype=torch.float32))
    with pytest.raises(UserError, match="at least one layer"):
        Feedback(back=seeded(2, 2, 0))
    with pytest.raises(TypeError, match="layer as back"):
        Feedback(IF(), back=0.5)
    with pytest.raises(UserError, match="layers, last, back"):
        loop().scan(drive(4, 2, 4, dtype=torch.float32), (1, 2))
    with pytest.raises(UserError, match="T B"):
        loop()(drive(4, 4, dtype=torch.float32))


# -- Lateral ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("learn", ["", "strength", "weights"])
def test_inhibition_equals_a_matrix(itself, learn):
    net = Lateral(LIF(tau=9 * MS, dt=MS), strength=0.3, shape=5, itself=itself, learn=learn).double()
    w = torch.full((5, 5), -float(torch.tensor(0.3)), dtype=D)
    plain = Recurrent(LIF(tau=9 * MS, dt=MS), w if itself else w - w.diag().diag()).double()
    x = 0.8 * drive(30, 2, 5)
    y = net(x)
    assert torch.equal(y, plain(x)) and 0.05 < float(y.detach().mean()) < 0.9
    assert len(list(net.weight.parameters())) == (learn != "")
    with torch.no_grad(), trace(net) as seen:
        net(x)
    fan = 4 + itself
    assert seen.layers["weight_synapses"].synops == pytest.approx(float(y[:-1].detach().sum()) * fan / 2)
    assert seen.layers["weight_synapses"].dense_macs == 5 * fan


def test_channels_compete_at_one_place():
    net = Lateral(IF(), strength=0.5, across="channels")
    x = (drive(6, 2, 3, 4, 4, dtype=torch.float32) < 0.6).float()
    y, state = net.scan(x)
    back = net.weight.rows(state.spikes)
    by_hand = torch.stack([-0.5 * (state.spikes.sum(1) - state.spikes[:, c]) for c in range(3)], 1)
    assert torch.equal(back, by_hand) and bool(back.any())
    with trace(net) as seen:
        net(x)
    assert seen.layers["weight_synapses"].synops == float(y[:-1].sum()) * 2 / 2  # two others, two samples
    head, middle = net.scan(x[:2])
    assert torch.equal(torch.cat([head, net.scan(x[2:], middle)[0]]), y)


def test_strong_inhibition_leaves_one_winner():
    x = (0.1 + 0.1 * torch.arange(6.0)).expand(40, 1, 6)
    y = Lateral(LIF(tau=20 * MS, dt=MS), strength=50.0)(x)
    assert int((y.sum(0) > 0).sum()) == 1 and bool(y[:, 0, 5].any())


@pytest.mark.parametrize("learn", ["strength", "weights"])
def test_learned_inhibition_has_the_gradients_of_finite_differences(learn):
    net = Lateral(LeakyIntegrator(tau=5 * MS, dt=MS), strength=0.2, shape=3, learn=learn).double()
    w = net.weight.strength.detach().clone().requires_grad_()

    def run(x, w):
        return torch.func.functional_call(net, {"weight.strength": w}, (x,))

    assert torch.autograd.gradcheck(run, (drive(5, 2, 3).requires_grad_(), w))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"strength": -1.0}, "0 or more"),
        ({"across": "rows"}, "unknown across"),
        ({"learn": "all"}, "unknown learn"),
        ({"learn": "weights"}, "in a row"),
        ({"learn": "weights", "shape": (2, 3)}, "in a row"),
        ({"learn": "weight"}, "There are: '', strength, weights"),
    ],
)
def test_mistakes_in_inhibition_are_said(options, words):
    with pytest.raises(UserError, match=words):
        Lateral(IF(), **options)


def test_wrong_shapes_in_inhibition_are_said():
    with pytest.raises(UserError, match="B C H W"):
        Lateral(IF(), across="channels")(drive(3, 1, 4, dtype=torch.float32))
    with pytest.raises(UserError, match=r"made for neurons \(5,\)"):
        Lateral(IF(), shape=5)(drive(3, 1, 4, dtype=torch.float32))
    with pytest.raises(UserError, match="one number"):
        Lateral(IF(), strength=torch.rand(4, 4))
    assert Lateral(IF(), shape=[4], strength=torch.tensor(0.5))(torch.ones(3, 1, 4)).shape == (3, 1, 4)
