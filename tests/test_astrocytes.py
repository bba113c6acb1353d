"""Domains of modulators and networks of astrocytes: the kernel is its twin, and several astrocytes do what one does, locally."""

import naive_simulator as naive
import numpy as np
import pytest
import torch
from simulator_cases import MS, B, M, N, T, cell, interpret, poisson

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.liquid import Liquid, Projection, load, save
from snnkit.neurons import IF
from snnkit.plasticity import AstrocyteNetwork, Domains, Modulators, Rule, Trace, astrocyte, astrocyte_stdp

OF = np.arange(N) % 3
PAIRS = ((0, 1), (1, 2))


def liquid_with(modulators, *, dense=False, dtype=torch.float32, rule=None):
    """Inputs all to all; recurrent synapses with delays and inhibitory neurons, or all to all."""
    own, back = rule or astrocyte_stdp(w_max=0.6, dale=False), rule or astrocyte_stdp(w_max=0.6)
    inputs = Projection.dense(M, N, w=(0.0, 0.35), rule=own, seed=1)
    if dense:
        recurrent = Projection.dense(N, N, w=(0.0, 0.03), delay=2 * MS, rule=back, seed=2)
    else:
        recurrent = Projection.random(
            N, N, p=0.3, w=(0.0, 0.2), delay=(1 * MS, 6 * MS), inhibitory=0.2, rule=back, seed=2
        )
    return Liquid(cell(), inputs, recurrent, modulators, dense=None if dense else False).to(dtype)


def network(**options):
    return AstrocyteNetwork(domains=OF, neighbours=PAIRS, **{"coupling": 5.0, "gain": 0.1, **options})


def agree(liquid, ev, dtype=torch.float32, **options):
    labels = liquid.labels
    run = liquid.run(ev, keep=["A", *(f"{k}.w" for k in labels)], **options)
    twin = naive.run(liquid, ev, dtype=dtype)
    assert torch.equal(run.spikes.dense(dtype), twin.spikes.to(dtype))
    assert torch.equal(run.final["A"], torch.stack([s.mods["A"] for s in twin.samples]))
    for label in labels:
        assert torch.equal(run.final[f"{label}.w"], torch.stack([s.weights(label) for s in twin.samples]))
    return run


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_domains_are_their_twin(dense, dtype, monkeypatch):
    interpret(monkeypatch)
    liquid = liquid_with(network().modulators(), dense=dense, dtype=dtype)
    run = agree(liquid, poisson(), dtype, threads=1)
    assert 5 < run.spikes.nnz / (B * N * T * MS) < 130
    A = run.final["A"]
    assert A.shape == (B, 3) and (A.std(1) > 1e-4).all(), "the domains differ"


def test_every_hook_reads_the_modulator_of_its_domain(monkeypatch):
    """`each_step` and `when` too; and a signal reaches the modulators of all domains."""
    interpret(monkeypatch)
    rule = Rule(
        traces={"x": Trace("pre", 20 * MS), "y": Trace("post", 20 * MS)},
        on_pre=lambda w, y, A: w - A * y,
        on_post=lambda w, x, A: w + 0.5 * A * x,
        each_step=lambda w, A, n_out: w * (1.0 - 0.001 * A * n_out),
        when=lambda A, low: low < A,
        const={"low": 0.05},
        bounds=(0.0, 0.5),
    )
    share = np.random.default_rng(0).uniform(0.0, 2.0, (M, 3))
    modulators = Modulators(
        start={"A": np.array([0.02, 0.05, 0.08]), "rest": 0.01},
        step=lambda A, rest, n_in, n_out, flow_A, c: (
            A * c + 0.002 * n_in + 0.01 * n_out + 0.1 * flow_A,
            rest,
        ),
        const={"c": 0.9},
        domains=Domains(OF, share, np.array([[0.0, 1.0, 0.2], [0.5, 0.0, 0.1], [0.0, 0.3, 0.0]])),
    )
    run = agree(liquid_with(modulators, rule=rule), poisson(), threads=1)
    changed = run.final["recurrent.w"] != liquid_with(modulators, rule=rule)._weights("recurrent")
    assert changed.float().mean() > 0.3


def test_compiled_it_is_the_same_whatever_is_around_it():
    """Threads, neighbours in the batch, cuts in time."""
    liquid, ev = liquid_with(network().modulators()), poisson(batch=4)
    whole = agree(liquid, ev, threads=1)
    assert liquid.run(ev, threads=3).spikes.equal(whole.spikes)
    assert liquid.run(ev.batch([2, 0])).spikes.equal(whole.spikes.batch([2, 0]))
    state, pieces = None, []
    for a, b in ((0, 41), (41, 42), (42, T)):
        piece, state = liquid.scan(ev[a:b], state, threads=2)
        pieces.append(piece.dense())
    assert torch.equal(torch.cat(pieces), whole.spikes.dense())
    assert torch.equal(state.modulators[:, :3], whole.final["A"]) and state.modulators.shape == (4, 12)


def test_one_domain_is_the_one_astrocyte_bit_for_bit():
    ev = poisson(batch=3)
    names = ["recurrent.w", "inputs.w"]
    one = liquid_with(astrocyte(gain=0.01, keep=0.99)).run(ev, keep=names, record=["A"])
    for whole in (AstrocyteNetwork.whole(N, gain=0.01, keep=0.99), AstrocyteNetwork(domains=np.zeros(N, int), gain=0.01, keep=0.99, coupling=9.0)):  # fmt: skip
        run = liquid_with(whole.modulators()).run(ev, keep=names, record=["A"])
        assert run.spikes.equal(one.spikes)
        assert all(torch.equal(run.final[k], one.final[k]) for k in names)
        assert torch.equal(run.record["A"][..., 0], one.record["A"])


# What each part of the equation does ------------------------------------------------------------------------------


def alone(pairs=(), coupling=0.0, share=None, gain=1.0, tau=0.1):
    """Two neurons, one per domain, each fired by its own channel; synapses that no rule reads stay."""
    net = AstrocyteNetwork(
        domains=np.array([0, 1]),
        neighbours=pairs,
        coupling=coupling,
        share=share,
        gain=gain,
        tau=tau,
        base=0.0,
    )
    return Liquid(IF(threshold=1.0, reset="zero"), Projection.from_matrix(2.0 * np.eye(2)), None, net.modulators(), dt=MS)  # fmt: skip


def drive(steps, first=(), second=()):
    x = torch.zeros(steps, 1, 2)
    x[list(first), 0, 0], x[list(second), 0, 1] = 1.0, 1.0
    return EventTensor.from_dense(x, MS)


def test_a_domain_counts_its_own_spikes_and_its_share_of_the_input(monkeypatch):
    interpret(monkeypatch)
    A = alone().run(drive(3, first=[1]), record=["A"]).record["A"][:, 0]
    # gain 1 · N/N_g = 2; one spike of the domain, half an input spike for each
    assert A[1].tolist() == pytest.approx([2 * (1 - 0.5) * 0.01, 2 * (0 - 0.5) * 0.01])
    assert A[2].tolist() == pytest.approx((0.99 * A[1]).tolist())
    own = alone(share=np.eye(2)).run(drive(3, first=[1]), record=["A"]).record["A"][:, 0]
    assert not own.any(), "each spike answers one input spike of its own domain"


def test_gap_junctions_even_out_and_keep_the_sum(monkeypatch):
    interpret(monkeypatch)
    ev = drive(60, first=range(0, 60, 3))
    apart, joined = (
        alone(((0, 1),), k, np.zeros((2, 2))).run(ev, record=["A"]).record["A"][:, 0] for k in (0.0, 100.0)
    )
    assert apart[:, 1].abs().max() == 0 and apart[-1, 0] > 0.2
    assert torch.allclose(joined.sum(1), apart.sum(1), rtol=1e-5)
    assert joined[-1, 1] > 0.5 * joined[-1, 0] > 0
    first = joined[1]  # after the spike of step 0, one step of diffusion
    a = 2 * 0.01
    assert first.tolist() == pytest.approx([a * 0.99 - 0.1 * a, 0.1 * a])


def test_local_astrocytes_quieten_the_loud_half_alone():
    """One half of the liquid is driven; only its astrocyte raises depression, and a global one punishes both."""
    n = 40
    half = np.arange(n) // (n // 2)
    inputs = Projection.from_matrix(np.kron(np.eye(2), np.ones((10, n // 2))) * 0.5)
    rule = astrocyte_stdp(w_max=0.6, tau_u=None)
    back = Projection.random(n, n, p=0.3, w=0.1, rule=rule, seed=0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(300, 4, 20, generator=generator) < torch.tensor([0.1] * 10 + [0.02] * 10)
    ev = EventTensor.from_dense(x.float(), MS)
    runs = {}
    for name, net in (("local", AstrocyteNetwork(domains=half, gain=0.1)), ("global", AstrocyteNetwork.whole(n, gain=0.1))):  # fmt: skip
        runs[name] = (
            Liquid(cell(), inputs, back, net.modulators()).run(ev, record=["A"]).record["A"].mean((0, 1))
        )
    assert runs["local"][0] > runs["local"][1] + 0.1
    assert runs["local"][1] < runs["global"][0] < runs["local"][0]


# Making them ------------------------------------------------------------------------------------------------------


def test_boxes_cut_space_and_join_faces():
    grid = Projection.grid((4, 4, 2), reach=1.0, seed=0)
    net = AstrocyteNetwork.boxes(grid.positions, (2, 2, 1), coupling=1.0)
    assert net.count == 4 and np.bincount(net.domains).tolist() == [8, 8, 8, 8]
    assert sorted(net.neighbours) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    for g in range(4):
        spread = np.ptp(grid.positions[net.domains == g], axis=0)
        assert spread.tolist() == [1, 1, 1]
    coupling = net.modulators().domains.coupling
    assert np.array_equal(coupling, coupling.T) and coupling.sum() == 8 and not np.diag(coupling).any()


def test_watching_shares_an_input_spike_by_its_synapses():
    inputs = Projection(shape=(3, 4), pre=[0, 0, 0, 1], post=[0, 1, 2, 3], w=np.ones(4))
    net = AstrocyteNetwork(domains=np.array([0, 0, 1, 1])).watching(inputs)
    assert net.share.tolist() == [[2 / 3, 1 / 3], [0, 1], [0, 0]]
    with pytest.raises(UserError, match="reaches 4 neurons, the domains are of 5"):
        AstrocyteNetwork(domains=np.array([0, 0, 1, 1, 1])).watching(inputs)


def test_a_file_keeps_the_domains(tmp_path):
    liquid = liquid_with(network(share=np.full((M, 3), 0.4)).modulators())
    save(liquid, tmp_path / "liquid.safetensors")
    again = load(tmp_path / "liquid.safetensors")
    ev = poisson()
    assert again(ev).equal(liquid(ev))
    assert np.array_equal(again.modulators.domains.of, OF) and again.modulators.domains.share.shape == (M, 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Domains(np.array([0, 2])), r"every domain has neurons, but \[1\] of 3"),
        (lambda: Domains(np.array([0.0, 1.0])), "one number 0, 1, ... per neuron, got float64"),
        (lambda: Domains(OF, coupling=np.eye(2)), r"coupling of the domains is \[3, 3\], got \[2, 2\]"),
        (lambda: Domains(OF, share=np.ones((M, 2))), r"share of the domains is \[channels, 3\], got \[12, 2\]"),
        (lambda: Domains(OF, coupling=np.full((3, 3), np.nan)), "not finite"),
        (lambda: AstrocyteNetwork(domains=OF, neighbours=((0, 3),)), r"two different astrocytes of 0..2, got \(0, 3\)"),
        (lambda: network(coupling=-1.0), "coupling >= 0"),
        (lambda: AstrocyteNetwork.boxes(np.zeros((4, 3)), (2, 2)), "a number of boxes for each axis"),
        (lambda: AstrocyteNetwork.boxes(np.zeros((4, 2)), (2, 2)), "3 of 4 boxes have no neuron"),
        (lambda: Modulators({"A": np.ones(2)}, lambda A: A), "as there are no domains"),
        (lambda: Modulators({"A": np.ones(2)}, lambda A: A, domains=Domains(OF)), "one for each of 3 domains"),
        (lambda: liquid_with(AstrocyteNetwork.whole(N + 1).modulators()), "of 21 neurons, but the liquid has 20"),
        (lambda: liquid_with(network(share=np.ones((M + 1, 3))).modulators()), "for 13 input channels, but the liquid has 12"),
        (lambda: liquid_with(Modulators({"A": 0.1, "eta": 0.1}, lambda A, eta, flow_A: (A, eta))), "flow_A"),
    ],
)  # fmt: skip
def test_mistakes_are_told(make, said):
    with pytest.raises(UserError, match=said):
        make()
