"""Wrong input meets one clear sentence; unusual input works."""

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.neurons import (
    IF,
    LIF,
    AdaptiveLIF,
    CubaLIF,
    LeakyIntegrator,
    Neuron,
    neuron,
    surrogate,
    use_reference,
)

MS = 1e-3


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """The generated text is run by Python: that the compiler changes no bit is a law of its own."""
    interpret(monkeypatch)


def lif(**options):
    return LIF(**{"tau": 20 * MS, "dt": MS, **options})


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: lif(dt=1), "0 < dt < tau, both in seconds.*dt=1 and tau=0.02.*dt=1e-3"),
        (lambda: lif(dt=20 * MS), "0 < dt < tau"),
        (lambda: lif(dt=0), "positive dt in seconds"),
        (lambda: lif(dt="1 ms"), "positive dt in seconds"),
        (lambda: lif(dt=float("nan")), "positive dt in seconds"),
        (lambda: lif(dt=None), "needs dt"),
        (lambda: lif(tau=-1.0), "0 < dt < tau"),
        (lambda: lif(tau=float("inf")), "finite tau"),
        (lambda: lif(tau=torch.tensor([20 * MS, 0.5 * MS])), "tau=0.0005"),
        (lambda: CubaLIF(tau_syn=20, tau_mem=20 * MS, dt=MS * 50), "tau_mem"),
        (lambda: lif(reset="substract"), "did you mean 'subtract'"),
        (lambda: lif(compare="=>"), '">=" or ">"'),
        (lambda: lif(learn="tua"), "did you mean 'tau'"),
        (lambda: IF(learn=("tau",)), "There are: threshold"),
        (lambda: surrogate.ATan(alpha=0.0), "positive number for alpha"),
        (lambda: surrogate.FastSigmoid(slope=float("inf")), "positive number for slope"),
    ],
)
def test_wrong_parameters(build, words):
    with pytest.raises(ValueError, match=words) as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda: lif()(torch.rand(5)), ValueError, r"a sequence \[T, B, \*N\], got \[5\]"),
        (lambda: lif().step(torch.tensor(1.0)), ValueError, r"one step \[B, \*N\]"),
        (lambda: lif()(torch.ones(5, 1, 2, dtype=torch.int64)), TypeError, "torch.int64; write x.float"),
        (lambda: lif()(torch.ones(5, 1, 2, dtype=torch.complex64)), TypeError, "torch.complex64"),
        (lambda: lif()(np.ones((5, 1, 2))), TypeError, "expected a tensor, got ndarray"),
        (lambda: lif().scan(torch.rand(5, 2, 3), (torch.zeros(4, 3),)), ValueError, r"\[4, 3\].*\[2, 3\]"),
        (lambda: lif().step(torch.rand(2, 3), (torch.zeros(2),)), ValueError, r"\[2\].*\[2, 3\]"),
        (lambda: lif().step(torch.rand(2, 3), torch.zeros(2, 3)), ValueError, "a tuple of tensors"),
        (lambda: lif().step(torch.rand(2, 3), (torch.zeros(2, 3),) * 2), ValueError, r"the state \(v\)"),
        (lambda: lif().step(torch.rand(2, 3), (torch.zeros(2, 3).double(),)), ValueError, "torch.float64"),
        (lambda: lif(threshold=[1.0, 2.0])(torch.rand(5, 2, 3)), ValueError, r"\[2\].*\[3\]"),
        (lambda: lif()((torch.rand(5, 2, 3),) * 2), ValueError, "input ports x; got 2"),
        (lambda: lif(surrogate="atan"), TypeError, r"surrogate.ATan\(alpha=2.0\)"),
    ],
)
def test_wrong_input(call, kind, words):
    with pytest.raises(kind, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_wrong_step_functions():
    with pytest.raises(TypeError, match="should begin"):

        @neuron("x", v=0.0)
        def swapped(v, x, *, decay):
            return v, v

    with pytest.raises(TypeError, match=r"where\(condition, a, b\)"):

        class Branching(Neuron):
            @neuron("x", v=0.0)
            def equation(x, v):
                if x > 0:
                    v = v + x
                return v, v

        Branching()

    with pytest.raises(TypeError, match="at least one output"):

        class Mute(Neuron):
            @neuron("x", v=0.0)
            def equation(x, v):
                return v + x

        Mute()


EVERY = [
    IF(),
    lif(),
    CubaLIF(tau_syn=5 * MS, tau_mem=9 * MS, dt=MS),
    AdaptiveLIF(tau=9 * MS, tau_adapt=50 * MS, dt=MS),
    LeakyIntegrator(tau=9 * MS, dt=MS),
]


@pytest.mark.parametrize("cell", EVERY, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0), (0, 0), (1, 1)])
def test_empty_input(cell, shape):
    x = torch.ones(shape, requires_grad=True)
    y, state = cell.scan(x)
    assert y.shape == shape and all(s.shape == shape[1:] for s in state)
    (y.sum() + sum(s.sum() for s in state)).backward()
    assert x.grad is None or x.grad.shape == shape


@pytest.mark.parametrize("cell", EVERY, ids=lambda c: type(c).__name__)
def test_layout_of_the_input_does_not_matter(cell):
    x = torch.rand(3, 4, 2, 6)  # B H T W, say
    view = x.permute(2, 0, 1, 3)
    assert not view.is_contiguous()
    view, copy = view.detach().requires_grad_(), view.contiguous().requires_grad_()
    a, b = cell(view), cell(copy)
    assert torch.equal(a, b)
    a.backward(torch.ones(1).expand(a.shape))
    b.backward(torch.ones_like(b))
    assert torch.equal(view.grad, copy.grad)


def test_input_without_gradient_and_inference_mode():
    x = torch.rand(40, 2, 3)
    expected = lif()(x)
    assert not expected.requires_grad
    with torch.inference_mode():
        assert torch.equal(lif()(x), expected)
    with torch.no_grad():
        assert torch.equal(lif()(x.requires_grad_()), expected)


def test_parameters_follow_the_module_and_keep_their_precision():
    cell = lif(tau=[20 * MS, 30 * MS], threshold=1.5, learn="threshold")
    assert isinstance(cell.threshold, torch.nn.Parameter) and set(dict(cell.named_parameters())) == {
        "threshold"
    }
    assert cell.half().tau.dtype is torch.float64 and cell.threshold.dtype is torch.float16
    assert cell.to("meta").tau.device.type == "meta"
    assert cell.to_empty(device="cpu").tau.shape == (2,)
    cell = lif(learn="tau")
    assert cell.tau.item() == pytest.approx(20 * MS) and cell.log_tau.requires_grad
    assert lif().tau.item() == 20 * MS and lif().dt == MS and lif().reset == "subtract"
    assert lif().threshold.item() == 1.0 and not list(lif().parameters())


def test_a_decay_is_rounded_once():
    """Whatever the precision of the input, the decay is exp(-dt/τ) in double precision, then rounded."""
    beta = 0.9
    cell = lif(tau=-MS / np.log(beta))
    state = (torch.ones(1, 1),)
    assert cell.step(torch.zeros(1, 1), state)[1].v.item() == np.float32(beta) - 0.0


def test_changing_an_option_changes_both_paths():
    cell, x = lif(), torch.rand(60, 2, 3)
    for name, value in [("reset", "zero"), ("compare", ">"), ("detach_reset", True)]:
        setattr(cell, name, value)
        with use_reference():
            expected = cell(x)
        assert torch.equal(cell(x), expected)
    with pytest.raises(ValueError, match="did you mean 'zero'"):
        cell.reset = "zer"
    assert cell.reset == "zero" and torch.equal(cell(x), expected)
    with pytest.raises(TypeError, match="needs a surrogate"):
        cell.surrogate = 3
    assert torch.equal(cell(x), expected)


def test_a_neuron_derived_from_another_has_the_state_of_its_own_equation():
    class Integrator(LIF):
        @neuron("x", v=0.0, count=0.0)
        def equation(x, v, count, *, decay, theta, fire):
            u = decay * v + x
            s, r = fire(u - theta)
            return s, u - r, count + s

    spikes, state = Integrator(tau=20 * MS, dt=MS).scan(torch.rand(40, 2, 3))
    assert state._fields == ("v", "count") and torch.equal(state.count, spikes.sum(0))


def test_repr_tells_what_it_is():
    assert repr(lif(learn="tau")) == (
        "LIF(dt=0.001, reset='subtract', surrogate=ATan(alpha=2.0), learn=('tau',))"
    )
