"""What torch can do to a neuron: func.grad, vmap, jacrev, compile, export, checkpoint, opcheck."""

import copy
import shutil

import pytest
import torch
from laws import MS, TwoPoint, interpret, leaves
from torch.func import functional_call, grad, jacfwd, jacrev, vmap
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from snnkit.kernels.neurons.operator import adjoint_op, scan_op
from snnkit.neurons import LIF, CubaLIF, use_reference


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """The generated text is run by Python: that the compiler changes no bit is a law of its own."""
    interpret(monkeypatch)


CELLS = {  # three arities: one port and one state, one and two, two and two
    "LIF": lambda: LIF(tau=12 * MS, dt=MS, learn=("tau", "threshold")),
    "CubaLIF": lambda: CubaLIF(
        tau_syn=4 * MS, tau_mem=9 * MS, dt=MS, learn=("tau_syn", "tau_mem", "threshold")
    ),
    "TwoPoint": lambda: TwoPoint(tau=10 * MS, dt=MS, learn=("tau", "gain")),
}


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]().double()


def inputs(cell, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.rand(shape, generator=generator, dtype=torch.float64) * 0.5 for _ in cell.equation.ports
    )


def pack(x):
    return x if len(x) > 1 else x[0]


def loss_of(cell):
    def loss(parameters, *x):
        spikes, state = torch.func.functional_call(cell, parameters, (pack(x),)), None
        assert state is None
        return (spikes * torch.linspace(0, 1, spikes.shape[0]).view(-1, 1, 1)).sum() + spikes.square().mean()

    return loss


def on_reference(function):
    def called(*args):
        with use_reference():
            return function(*args)

    return called


def assert_close(found, expected):
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert float(b.detach().abs().max()) > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def every_argument(cell):
    return tuple(range(1 + len(cell.equation.ports)))


def test_grad(cell):
    transformed = grad(loss_of(cell), argnums=every_argument(cell))
    arguments = dict(cell.named_parameters()), *inputs(cell, 40, 2, 3)
    assert_close(transformed(*arguments), on_reference(transformed)(*arguments))


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_vmap_over_any_axis_of_the_input(cell, axis):
    x = inputs(cell, 20, 2, 3, 4)  # T B N, and an axis to map that is the neurons' own
    x = tuple(t.movedim(3, axis) for t in x)
    found = vmap(lambda *x: cell(pack(x)), in_dims=axis, out_dims=axis)(*x)
    expected = torch.stack([cell(pack(tuple(t.select(axis, k) for t in x))) for k in range(4)], axis)
    assert torch.equal(found, expected) and 0 < found.mean() < 1


def test_vmap_of_grad_over_samples_and_parameters(cell):
    x, parameters = inputs(cell, 4, 20, 2, 3), dict(cell.named_parameters())
    ports = len(x)
    over_samples = vmap(grad(loss_of(cell), argnums=every_argument(cell)), in_dims=(None, *[0] * ports))
    assert_close(over_samples(parameters, *x), on_reference(over_samples)(parameters, *x))
    many = {k: p.detach() * torch.linspace(0.9, 1.1, 4, dtype=p.dtype) for k, p in parameters.items()}
    over_models = vmap(grad(loss_of(cell), argnums=every_argument(cell)), in_dims=(0, *[None] * ports))
    one = tuple(t[0] for t in x)
    assert_close(over_models(many, *one), on_reference(over_models)(many, *one))


def test_jacobian(cell):
    def rates(parameters, *x):
        return functional_call(cell, parameters, (pack(x),)).sum((0, 1))

    transformed = jacrev(rates, argnums=every_argument(cell))
    arguments = dict(cell.named_parameters()), *inputs(cell, 20, 2, 3)
    assert_close(transformed(*arguments), on_reference(transformed)(*arguments))


def test_second_derivatives_come_from_the_reference(cell):
    x, parameters = inputs(cell, 8, 1, 2), dict(cell.named_parameters())
    first = lambda *x: loss_of(cell)(parameters, *x)
    with pytest.raises(RuntimeError, match="use_reference"):
        jacrev(jacrev(first))(*x)
    assert_close(on_reference(jacrev(jacrev(first)))(*x), on_reference(jacfwd(jacrev(first)))(*x))
    assert_close(on_reference(jacfwd(first))(*x), on_reference(jacrev(first))(*x))


def test_compile_without_graph_breaks(cell):
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x: cell.scan(pack(x)), fullgraph=True, backend="aot_eager")
    found = []
    for run in (compiled, lambda *x: cell.scan(pack(x))):
        cell.zero_grad()
        x = tuple(t.requires_grad_() for t in inputs(cell, 40, 2, 3))
        spikes, state = run(*x)
        (spikes.square().sum() + state[0].sum()).backward()
        found.append([spikes, *state, *(t.grad for t in x), *(p.grad.clone() for p in cell.parameters())])
    assert_close(*found)
    assert type(state).__name__ == f"{type(cell).__name__}State"


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_compiles_a_sequence():
    torch._dynamo.reset()
    cell, x = LIF(tau=12 * MS, dt=MS), torch.rand(40, 2, 3)
    assert torch.equal(torch.compile(cell, fullgraph=True)(x), cell(x))


@pytest.mark.parametrize("detach", [False, True])
def test_compile_a_step(detach):
    torch._dynamo.reset()
    cell = LIF(tau=12 * MS, dt=MS, learn=("tau", "threshold"), detach_reset=detach)
    compiled = torch.compile(cell.step, fullgraph=True, backend="aot_eager")
    found = []
    for step in (compiled, cell.step):
        cell.zero_grad()
        x = torch.linspace(0.5, 1.5, 6).view(2, 3).requires_grad_()
        spikes, state = step(x)
        (spikes.square().sum() + state.v.sum()).backward()
        found.append([spikes, state.v, x.grad, *(p.grad.clone() for p in cell.parameters())])
    torch.testing.assert_close(*found)


def test_export_with_any_batch_size(cell):
    x, ports = inputs(cell, 20, 2, 3), len(cell.equation.ports)
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = ({1: batch},) if ports == 1 else (({1: batch},) * ports,)
    exported = torch.export.export(cell, (pack(x),), dynamic_shapes=shapes).module()
    other = pack(inputs(cell, 20, 7, 3, seed=1))
    assert torch.equal(exported(other), cell(other))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint(cell, reentrant):
    found = []
    for run in (lambda f, *x: checkpoint(f, *x, use_reentrant=reentrant), lambda f, *x: f(*x)):
        x = tuple(t.requires_grad_() for t in inputs(cell, 40, 2, 3))
        run(lambda *x: cell(pack(x)), *x).square().sum().backward()
        found.append([t.grad for t in x])
    assert_close(*found)


def test_opcheck(cell):
    x = inputs(cell, 40, 2, 3)
    shape = (2, 3)
    constants = [v.detach().expand(shape).contiguous() for v in cell.constants().values()]
    states = [torch.zeros(shape, dtype=torch.float64) for _ in cell.equation.states]
    torch.library.opcheck(scan_op, (cell._key, 32, list(x), constants, states))
    found = scan_op(cell._key, 32, list(x), constants, states)
    k = len(states)
    output_bars, state_bars, kept = (
        [torch.ones_like(found[0])],
        [torch.ones_like(s) for s in states],
        found[-k:],
    )
    wanted = f"port_{cell.equation.ports[0]} const_{cell.equation.constants[-1]}"
    arguments = (
        cell._key, 32, wanted, list(cell._hyper), list(x), constants, kept, output_bars, state_bars
    )  # fmt: skip
    torch.library.opcheck(adjoint_op, arguments)


def test_copies_and_loaded_parameters_run(cell):
    x = pack(inputs(cell, 20, 2, 3))
    assert torch.equal(copy.deepcopy(cell)(x), cell(x))
    other = CELLS[type(cell).__name__]().double()
    other.load_state_dict(cell.state_dict())
    assert torch.equal(other(x), cell(x))


def test_gradients_reach_the_state_a_sequence_began_with(cell):
    found = []
    x = pack(inputs(cell, 40, 2, 3))
    for run in (cell.scan, on_reference(cell.scan)):
        state = cell.State(
            *(
                torch.full((2, 3), 0.1, dtype=torch.float64, requires_grad=True)
                for _ in leaves(cell.equation.states)
            )
        )
        run(x, state)[0].sum().backward()
        found.append([s.grad for s in state])
    assert_close(*found)
