"""EventProp on the Yin-Yang task (Kriener et al. 2022): accuracy beside a surrogate gradient, same network, same loss.

    python benchmarks/eventprop.py [--quick] [--json FILE] [--epochs N] [--dt MS] [--seeds N] [--samples N]
                                   [--rules continuous eventprop surrogate]

Points of a disc belong to one of three parts of a yin-yang sign. Five inputs (x, y, 1 - x, 1 - y and one at time zero) spike
once each, at 25 ms times their value; 150 hidden neurons with a learned delay per synapse; three readouts whose membranes
are integrated with the weight exp(-t/T). The only difference between "eventprop" and "surrogate" is `gradient=` of the hidden
neurons, and the surrogate's best of five settings, chosen on other points. "continuous" runs the same layers from event to event, without time steps, and its delays are not rounded.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from snnkit.eventprop import Answer, EventProp, Spikes
from snnkit.layers import DelayedLinear, Sequential, clamp_delays, delay_parameters
from snnkit.neurons import CubaLIF, LeakyIntegrator, surrogate

TAU_MEM, TAU_SYN, END, SPREAD = 20e-3, 5e-3, 40e-3, 25e-3
HIDDEN = 150
RULES = ("continuous", "eventprop", "surrogate")


def yin_yang(n: int, seed: int, small: float = 0.1, big: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """n points (x, y, 1 - x, 1 - y) of the disc, the classes yin, yang and dots equally often."""
    draw, points, labels = np.random.default_rng(seed), np.empty((n, 4)), np.arange(n) % 3
    for k in range(n):
        while True:
            x, y = draw.random(2) * 2 * big
            if math.hypot(x - big, y - big) <= big and part(x, y, small, big) == labels[k]:
                break
        points[k] = x, y, 1 - x, 1 - y
    return points, labels


def part(x: float, y: float, small: float, big: float) -> int:
    """0 and 1 for the two halves, 2 for the dots."""
    right, left = math.hypot(x - 1.5 * big, y - big), math.hypot(x - 0.5 * big, y - big)
    if min(right, left) < small:
        return 2
    return int(left <= 0.5 * big or (y > big and right > 0.5 * big))


def spikes(points: np.ndarray, dt: float) -> Tensor:
    """`T B 5`, one spike each, the fifth at time zero."""
    steps = np.rint(points * SPREAD / dt).astype(int)
    x = torch.zeros(round(END / dt), len(points), 5)
    for k in range(4):
        x[steps[:, k], np.arange(len(points)), k] = 1.0
    x[0, :, 4] = 1.0
    return x


def exact_spikes(points: np.ndarray) -> Spikes:
    """The same without steps."""
    times = np.concatenate([points * SPREAD, np.zeros((len(points), 1))], axis=1)
    return Spikes.from_lists([(t, np.arange(5)) for t in times], channels=5, duration=END)


class Net(nn.Module):
    def __init__(self, dt: float, rule: str, seed: int):
        super().__init__()
        exact = rule == "continuous"
        g = torch.Generator().manual_seed(seed)
        unit = TAU_SYN / (TAU_MEM - TAU_SYN) * (math.exp(-dt / TAU_MEM) - math.exp(-dt / TAU_SYN))
        options = {
            "max_delay": 10e-3,
            "dt": dt,
            "form": "two-tap" if exact else "integer",
            "generator": g,
            "initial_delay": 2e-3,
        }
        first, last = DelayedLinear(5, HIDDEN, **options), DelayedLinear(HIDDEN, 3, **options)
        first.weight.data.normal_(1.5, 0.8, generator=g)
        last.weight.data.normal_(0.0, 0.3, generator=g)
        cell = CubaLIF(
            tau_syn=TAU_SYN, tau_mem=TAU_MEM, dt=dt, threshold=1.0 / unit, reset="zero", gradient="eventprop" if exact else rule,
            surrogate=surrogate.FastSigmoid(slope=10.0 * unit), detach_reset=not exact and rule == "surrogate",
        )  # fmt: skip
        self.hidden, self.first = Sequential(first, cell), first
        self.readout = Sequential(
            last, LeakyIntegrator(tau=TAU_SYN, dt=dt), LeakyIntegrator(tau=TAU_MEM, dt=dt)
        )
        t = torch.arange(round(END / dt)) * dt
        self.register_buffer("window", torch.exp(-t / END) * unit * dt / 1e-3)
        self.exact = EventProp(Sequential(*self.hidden, *self.readout), read=self._answer) if exact else None

    def forward(self, x: Tensor | Spikes) -> tuple[Tensor, Tensor]:
        """What the readouts say, `B 3`, and how often every hidden neuron fired."""
        if self.exact is not None:
            return self.exact(x)
        s = self.hidden(x)
        return torch.einsum("t,tbc->bc", self.window, self.readout(s)), s.detach().sum((0, 1))

    def _answer(self, found: Answer) -> tuple[Tensor, Tensor]:
        (hidden,) = found.spikes.values()
        scale = float(self.window[0]) / self.hidden[1].dt
        return found.output.integral(window=END) * scale, hidden.counts().sum(0)


def wake(net: Net, fired: Tensor, push: float = 0.05) -> None:
    """Neurons that never fired in an epoch have no gradient: their weights grow a little."""
    with torch.no_grad():
        net.first.weight[:, ~fired] += push


def train(rule: str, *, dt: float, epochs: int, samples: int, seed: int, batch: int = 100) -> list[float]:
    """Test accuracy after each epoch."""
    points, labels = yin_yang(samples, seed)
    held, held_labels = yin_yang(1000, 10_000 + seed)
    y, ty = torch.from_numpy(labels), torch.from_numpy(held_labels)
    exact = rule == "continuous"
    x, tx = (None, exact_spikes(held)) if exact else (spikes(points, dt), spikes(held, dt))
    net = Net(dt, rule, seed)
    # Delays are counted in steps, which are shorter the smaller dt: their rate is 50 ms per unit of Adam's step.
    optimiser = torch.optim.Adam(delay_parameters(net, lr=5e-3, weight_decay=0.0, delay_lr=5e-3 * 10e-3 / dt))
    decay = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.95)
    g, found = torch.Generator().manual_seed(seed), []
    for _ in range(epochs):
        fired = torch.zeros(HIDDEN, dtype=torch.bool)
        for chosen in torch.randperm(samples, generator=g).split(batch):
            logits, counts = net(exact_spikes(points[chosen.numpy()]) if x is None else x[:, chosen])
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits, y[chosen]).backward()
            optimiser.step()
            clamp_delays(net)
            fired |= counts > 0
        wake(net, fired)
        decay.step()
        with torch.no_grad():
            found.append(float((net(tx)[0].argmax(1) == ty).float().mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 samples, 3 epochs: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--dt", type=float, default=0.5, metavar="MS", help="length of a step in ms")
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    args = parser.parse_args()
    epochs, samples = (3, 300) if args.quick else (args.epochs, args.samples)
    record = {}
    for rule in args.rules:
        for seed in range(args.seeds):
            start = time.perf_counter()
            curve = train(rule, dt=args.dt * 1e-3, epochs=epochs, samples=samples, seed=seed)
            record[f"{rule} {seed}"] = curve
            print(
                f"{rule}, seed {seed}: test accuracy {curve[-1]:.3f} after {epochs} epochs "
                f"(best {max(curve):.3f}), {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
