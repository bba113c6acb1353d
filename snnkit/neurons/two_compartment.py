"""Neurons with a soma and an apical dendrite: context that modulates, memory that does not leak, bursts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import clip, exp, where
from snnkit.neurons.surrogate import ATan, Surrogate


def _sigmoid(z):
    return 1.0 / (1.0 + exp(-clip(z, -40.0, 40.0)))


@neuron("basal apical", v=0.0, a=0.0)
def two_point(basal, apical, v, a, *, decay, decay_apical, gain, middle, width, theta, fire, reset):
    a = decay_apical * a + apical
    u = decay * v + basal * (1.0 + gain * _sigmoid((a - middle) / width))
    s, r = fire(u - theta)
    return s, reset(u, r, theta), a


@neuron("x", v=0.0, d=0.0)
def tc_lif(x, v, d, *, soma_to_dendrite, dendrite_to_soma, gamma, theta, fire, reset):
    d = d - soma_to_dendrite * v + x
    u = v + dendrite_to_soma * d
    s, r = fire(u - theta)
    return s, reset(u, r, theta), d - gamma * r


@neuron("soma apical", v=-70e-3, w=0.0, d=-70e-3, y=0.0, age=1e6)
def apical_burst(
    soma, apical, v, w, d, y, age, *,
    gain_v, gain_d, leak_v, leak_d, decay_w, gain_y, e_l, g_s, g_d, c_d, a_d, b_s, middle, width,
    wait, echo_from, echo_to, theta, scale, fire,
):  # fmt: skip
    plateau = _sigmoid((d - middle) / width)
    echo = where(age >= echo_from, where(age < echo_to, 1.0, 0.0), 0.0)
    u = v + leak_v * (e_l - v) + gain_v * (g_s * plateau + soma - w)
    u = where(age < wait, e_l, u)
    s, r = fire((u - theta) * scale)
    d_new = d + leak_d * (e_l - d) + gain_d * (g_d * plateau + c_d * echo + apical - y)
    y_new = y + gain_y * (a_d * (d - e_l) - y)
    return s, u * (1.0 - r) + r * e_l, decay_w * w + b_s * s, d_new, y_new, (age + 1.0) * (1.0 - r)


class TwoPointState(NamedTuple):
    v: Tensor  # membrane of the soma [B, *N], in the unit of the threshold
    a: Tensor  # membrane of the apical compartment [B, *N]


class TCLIFState(NamedTuple):
    v: Tensor  # membrane of the soma [B, *N], in the unit of the threshold
    d: Tensor  # membrane of the dendrite [B, *N]


class ApicalBurstState(NamedTuple):
    v: Tensor  # membrane of the soma [V] [B, *N]
    w: Tensor  # its adaptation [A] [B, *N]
    d: Tensor  # membrane of the dendrite [V] [B, *N]
    y: Tensor  # its adaptation [A] [B, *N]
    age: Tensor  # steps since the last spike [B, *N]


class TwoPoint(Neuron):
    """Two-point cell: a leaky soma whose input is amplified by context at an apical compartment.

        a = α·a + C        u = β·v + R·(1 + g·σ((a - m)/w))        s = [u >= θ]        v = u - s·θ  (reset "subtract")
        α = exp(-dt/τ_apical), β = exp(-dt/τ), σ(z) = 1/(1 + exp(-z))

    It takes a tuple of two inputs of one shape: `cell((R, C))`, R the receptive field (basal), C the context (apical).
    Context changes the gain and cannot drive: without R there is no spike. Coherent context makes bursts of what were
    single spikes, opposing context silences them (after Körding and König 2001, J Comput Neurosci 11:207; Kay and
    Phillips 2011, Bull Math Biol 73:344; Adeel 2023, arXiv 2305.10449). The gain goes from 1 to 1 + g; without
    context it is 1 + g·σ(-m/w), 1.24 by default.

    Args:
        tau: time constant of the soma τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        tau_apical: time constant of the apical compartment [s], likewise.
        dt: time between input samples [s].
        gain: g >= 0, likewise.
        middle: m, apical potential of half the gain, likewise.
        width: w > 0, how gradual it is, likewise.
        threshold: θ, likewise.
        initial_v: soma at the start, likewise.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, tau_apical, gain, middle, threshold.

    >>> import torch
    >>> cell = TwoPoint(dt=1e-3)
    >>> basal = torch.full((200, 1, 4), 0.055) * torch.tensor([1.0, 0.0, 1.0, 1.0])
    >>> apical = torch.full((200, 1, 4), 0.05) * torch.tensor([0.0, 1.0, 1.0, -1.0])
    >>> cell((basal, apical)).sum(0).tolist()  # R alone, C alone, R with C, R against C
    [[7.0, 0.0, 26.0, 4.0]]
    """

    equation = two_point
    State = TwoPointState
    learnable = ("tau", "tau_apical", "gain", "middle", "threshold")
    gain: Tensor
    middle: Tensor
    width: Tensor
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        dt: float,
        tau: Value = 20e-3,
        tau_apical: Value = 50e-3,
        gain: Value = 2.0,
        middle: Value = 0.5,
        width: Value = 0.25,
        threshold: Value = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self.add_time_constant("tau", tau)
        self.add_time_constant("tau_apical", tau_apical)
        self.add_parameter("gain", gain)
        self.add_parameter("middle", middle)
        self.add_parameter("width", width)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)
        if not bool((self.width > 0).all()):
            raise UserError(f"TwoPoint needs a positive width, got {width!r}")

    @property
    def tau(self) -> Tensor:
        """Time constant of the soma [s]."""
        return self.time_constant("tau")

    @property
    def tau_apical(self) -> Tensor:
        """Time constant of the apical compartment [s]."""
        return self.time_constant("tau_apical")

    def constants(self) -> dict[str, Tensor]:
        return {
            "decay": self.decay(self.tau),
            "decay_apical": self.decay(self.tau_apical),
            "gain": self.gain,
            "middle": self.middle,
            "width": self.width,
            "theta": self.threshold,
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


class TCLIF(Neuron):
    """Two-compartment LIF with a memory that does not leak (TC-LIF; Zhang et al. 2024, AAAI).

        d = d - B1·v + x        u = v + B2·d        s = [u >= θ]        d = d - γ·s        v = u - s·θ  (reset "subtract")

    Soma and dendrite turn around each other by acos(1 - B1·B2/2) per step without growing or shrinking, so what came in
    long ago is not lost, and nothing bounds a drift either. B1 and B2 lie between 0 and 1 and are learned by their
    logits.

    Args:
        soma_to_dendrite: B1, what the soma takes from the dendrite, a number or a tensor that broadcasts to `*N`.
        dendrite_to_soma: B2, likewise.
        gamma: γ, what a spike takes from the dendrite, likewise.
        threshold: θ, likewise.
        dt: time between input samples [s]; not needed for the dynamics.
        initial_v: soma at the start, likewise.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: soma_to_dendrite, dendrite_to_soma,
            threshold.

    >>> import torch
    >>> cell = TCLIF(soma_to_dendrite=0.1, dendrite_to_soma=0.1, threshold=2.0)
    >>> x = torch.zeros(4000, 1, 1)
    >>> x[0] = 1.0
    >>> _, state = cell.scan(x)
    >>> round(float((state.v**2 + state.d**2 - 0.1 * state.v * state.d).sqrt()), 3)  # what it saw is still there
    1.0
    """

    equation = tc_lif
    State = TCLIFState
    learnable = ("soma_to_dendrite", "dendrite_to_soma", "threshold")
    gamma: Tensor
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        soma_to_dendrite: Value = 0.5,
        dendrite_to_soma: Value = 0.5,
        gamma: Value = 0.5,
        threshold: Value = 1.0,
        dt: float | None = None,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self._add_fraction("soma_to_dendrite", soma_to_dendrite)
        self._add_fraction("dendrite_to_soma", dendrite_to_soma)
        self.add_parameter("gamma", gamma)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    def _add_fraction(self, name: str, value: Value) -> None:
        """Hold a number between 0 and 1, learned by its logit."""
        tensor = self._as_tensor(name, value)
        if not bool(((tensor > 0) & (tensor < 1)).all()):
            raise UserError(f"TCLIF needs 0 < {name} < 1, got {value!r}")
        if name in self._learn:
            setattr(self, f"logit_{name}", nn.Parameter(torch.logit(tensor).to(torch.get_default_dtype())))
        else:
            self.register_buffer(f"fixed_{name}", tensor)

    def _fraction(self, name: str) -> Tensor:
        if name in self._learn:
            return torch.sigmoid(getattr(self, f"logit_{name}"))
        return getattr(self, f"fixed_{name}")

    @property
    def soma_to_dendrite(self) -> Tensor:
        """B1."""
        return self._fraction("soma_to_dendrite")

    @property
    def dendrite_to_soma(self) -> Tensor:
        """B2."""
        return self._fraction("dendrite_to_soma")

    def constants(self) -> dict[str, Tensor]:
        return {
            "soma_to_dendrite": self.soma_to_dendrite,
            "dendrite_to_soma": self.dendrite_to_soma,
            "gamma": self.gamma,
            "theta": self.threshold,
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


class ApicalBurst(Neuron):
    """Layer-5 pyramidal cell that bursts when its dendrite is driven too (Naud and Sprekeler 2018, PNAS 115:E6329;
    Payeur et al. 2021, Nat Neurosci 24:1010).

        dv/dt = (E - v)/τs + (gs·f(d) + Is - w)/Cs        dw/dt = -w/τw
        dd/dt = (E - d)/τd + (gd·f(d) + cd·K + Id - y)/Cd        dy/dt = (ad·(d - E) - y)/τy
        f(d) = 1/(1 + exp(-(d - Ed)/Dd));  K = 1 from 0.5 to 2.5 ms after a spike: it is heard in the dendrite
        spike when v >= θ, then v = E for 3 ms and w = w + b

    Volts, amperes, siemens, farads; it takes a tuple of two currents: `cell((Is, Id))`, soma and apical. The constants
    are those of the papers; one Euler step goes from the old values of all states (w decays exactly). Is = 600 pA gives
    regular spikes, with Id = 300 pA bursts. dt <= 0.5 ms, the delay of K.

    Args:
        dt: time between input samples [s].
        tau_s, tau_d: membrane time constants of soma and dendrite [s], numbers or tensors that broadcast to `*N`.
        c_s, c_d: their capacitances [F], likewise.
        g_s, g_d: current of a dendritic plateau into soma and dendrite [A], likewise.
        echo: cd, current of a spike in the dendrite [A], likewise.
        e_l: E, rest and reset of both [V], likewise.
        threshold: θ [V], likewise.
        b: b, what a spike adds to w [A], likewise.
        tau_w, tau_y: time constants of the adaptations [s], likewise.
        a: ad, adaptation of the dendrite [S], likewise.
        middle, width: Ed and Dd of f [V], likewise.
        refractory: how long v stays at E [s].
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: b, g_s, g_d, threshold. The surrogate sees
            (u - θ)/(θ - E); a detached reset detaches v only.

    >>> import torch
    >>> cell = ApicalBurst(dt=1e-4)
    >>> soma = torch.full((20_000, 1, 2), 600e-12)
    >>> spikes = cell((soma, 300e-12 * torch.tensor([0.0, 1.0]).expand_as(soma)))
    >>> [bool((torch.nonzero(spikes[:, 0, k]).diff(dim=0) < 160).any()) for k in (0, 1)]  # intervals under 16 ms
    [False, True]
    """

    equation = apical_burst
    State = ApicalBurstState
    learnable = ("b", "g_s", "g_d", "threshold")
    dt: float
    c_s: Tensor
    c_d: Tensor
    g_s: Tensor
    g_d: Tensor
    echo: Tensor
    e_l: Tensor
    threshold: Tensor
    b: Tensor
    a: Tensor
    middle: Tensor
    width: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        dt: float,
        tau_s: Value = 16e-3,
        tau_d: Value = 7e-3,
        c_s: Value = 370e-12,
        c_d: Value = 170e-12,
        g_s: Value = 1300e-12,
        g_d: Value = 1200e-12,
        echo: Value = 2600e-12,
        e_l: Value = -70e-3,
        threshold: Value = -50e-3,
        b: Value = 200e-12,
        tau_w: Value = 100e-3,
        a: Value = 13e-9,
        tau_y: Value = 30e-3,
        middle: Value = -38e-3,
        width: Value = 6e-3,
        refractory: float = 3e-3,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        if not dt <= 0.5e-3 * (1 + 1e-9):
            raise UserError(
                f"ApicalBurst: dt={dt:g} s is too large for the echo of a spike after 0.5 ms; the limit is 0.0005 s"
            )
        times = {"tau_s": tau_s, "tau_d": tau_d, "tau_w": tau_w, "tau_y": tau_y}
        for name, value in times.items():
            self.add_time_constant(name, value)
        plain = {
            "c_s": c_s, "c_d": c_d, "g_s": g_s, "g_d": g_d, "echo": echo, "e_l": e_l, "threshold": threshold,
            "b": b, "a": a, "middle": middle, "width": width,
        }  # fmt: skip
        for name, value in plain.items():
            self.add_parameter(name, value)
        self.register_buffer("scale", 1.0 / (self.threshold.detach() - self.e_l))
        self.refractory = float(refractory)

    def constants(self) -> dict[str, Any]:
        dt, like = self.dt, torch.ones_like(self.e_l)
        steps = [round(seconds / dt) for seconds in (self.refractory, 0.5e-3, 2.5e-3)]
        return {
            "gain_v": dt / self.c_s,
            "gain_d": dt / self.c_d,
            "leak_v": dt / self.time_constant("tau_s"),
            "leak_d": dt / self.time_constant("tau_d"),
            "decay_w": self.decay(self.time_constant("tau_w")),
            "gain_y": dt / self.time_constant("tau_y"),
            "e_l": self.e_l,
            "g_s": self.g_s,
            "g_d": self.g_d,
            "c_d": self.echo,
            "a_d": self.a,
            "b_s": self.b,
            "middle": self.middle,
            "width": self.width,
            **{k: n * like for k, n in zip(("wait", "echo_from", "echo_to"), steps, strict=True)},
            "theta": self.threshold,
            "scale": self.scale,
        }

    def rest(self) -> dict[str, Any]:
        long_ago = math.ceil(max(self.refractory, 2.5e-3) / self.dt) + 1.0
        return {"v": self.e_l, "d": self.e_l, "age": long_ago}
