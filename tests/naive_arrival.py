"""The plain simulator for rules that pair on arrival: every synapse has its own pre traces, driven by the spikes that reach it."""

from __future__ import annotations

import inspect

import naive_simulator as naive
import torch

from snnkit.neurons import reference


def run(liquid, ev, signals=None, dtype=torch.float32):
    """As `naive_simulator.run`."""
    samples = [Sample(liquid, dtype) for _ in range(ev.shape[1])]
    x = ev.dense(dtype).reshape(ev.shape[0], ev.shape[1], -1)
    rows = []
    for t in range(len(x)):
        given = [{k: v[t, b] for k, v in (signals or {}).items()} for b in range(x.shape[1])]
        rows.append(torch.stack([s.step(x[t, b], given[b]) for b, s in enumerate(samples)]))
    for s in samples:
        s.settle_all()
    return torch.stack(rows), samples


class Sample(naive.Sample):
    def __init__(self, liquid, dtype):
        super().__init__(liquid, dtype)
        self.t, self.history = 0, []  # states of the neurons after each step

    def part(self, part, weights):
        made = super().part(part, weights)
        made.late = made.rule is not None and made.rule.pairing == "arrival"
        made.flights = {}  # step of arrival -> mask of synapses, values
        if made.late:
            made.mine = {
                k: torch.full(made.there.shape, trace.rest, dtype=self.dtype)
                for k, trace in made.rule.traces.items()
                if trace.on == "pre"
            }
        return made

    def call(self, term, part, cut, syn):
        if not getattr(part, "late", False):
            return super().call(term, part, cut, syn)
        at = {"pre": lambda m: m[cut[1]], "post": lambda m: m[:, cut[1]], "all": lambda m: m}[cut[0]]
        names = inspect.signature(term).parameters
        own = {name: at(part.mine[name]) for name in names if name in part.mine}
        return super().call(term, part, cut, {**syn, **own})

    def launch(self, part, spikes, values):
        for i in spikes:
            for d in part.delay[i][part.there[i]].unique().tolist():
                mask = part.there[i] & (part.delay[i] == d)
                part.flights.setdefault(self.t + d, []).append((i, mask, values[i]))

    def arrive(self, part):
        """Those that left first come first."""
        rule = part.rule
        for i, mask, value in part.flights.get(self.t, []):
            cut = ("pre", i)
            syn, _ = self.selected(part, cut)
            syn = self.changed(part, cut, syn, rule.settle)
            amount = syn["w"] if rule.deliver is None else self.call(rule.deliver, part, cut, syn)
            to = (part.port[i][mask], mask.nonzero()[:, 0])
            self.ring[0][to] = self.ring[0][to] + (amount * value)[mask]
            self.store(part, cut, self.changed(part, cut, syn, rule.on_pre), mask)

    def step(self, x, signals):
        self.signals, self.counts = signals, {}
        inputs = x.nonzero()[:, 0].tolist()
        late = [p for p in self.parts if p.late]
        for part in late:
            if not part.recurrent:
                self.launch(part, inputs, x)
        for part in sorted(late, key=lambda p: not p.recurrent):
            self.arrive(part)
        for part in self.parts:
            if not part.recurrent and not part.late:
                self.deliver(part, inputs, x)
        s, spikes = self.neurons()
        for part in self.parts:
            if part.recurrent:
                (self.launch if part.late else self.deliver)(part, spikes, s)
        self.finish(inputs, spikes)
        self.t += 1
        return s

    def neurons(self):
        found = super().neurons()
        self.history.append(self.state)
        return found

    def trace(self, inputs, spikes):
        """Traces of neurons as ever, and those of single synapses."""
        super().trace(inputs, spikes)
        for part in self.parts:
            if part.late:
                self.trace_synapses(part)

    def trace_synapses(self, part):
        arrived = torch.zeros_like(part.there)
        for i, mask, _ in part.flights.pop(self.t, []):
            arrived[i] |= mask
        before = {k: m.clone() for k, m in part.mine.items()}
        for name, m in before.items():
            trace = part.rule.traces[name]
            if trace.of is not None:
                part.mine[name] = self.follow(part, trace, m)
                continue
            if trace.jump is not None:
                after = self.jumped(part, trace.jump, before)
            else:
                after = self.scalar(trace.add).expand_as(m) if trace.set else m + self.scalar(trace.add)
            m = torch.where(arrived, after, m)
            keep = self.scalar(naive.math.exp(-self.liquid.dt / trace.tau))
            rest = self.scalar(trace.rest)
            m = rest + (m - rest) * keep if trace.rest else m * keep
            part.mine[name] = reference._flush(m)

    def jumped(self, part, jump, before):
        given = {}
        for word in inspect.signature(jump).parameters:
            side, value = ("pre", before[word]) if word in before else self.side(part, word)
            given[word] = value[:, None] if word not in before and side == "pre" else value
        return torch.as_tensor(reference._in_precision(self.dtype, jump, **given))

    def follow(self, part, trace, m):
        """The state of the pre neuron as it was a delay ago; before the beginning there was none."""
        at = self.neuron.equation.states.index(trace.of)
        k = naive.math.exp(-self.liquid.dt / trace.tau)
        out = m.clone()
        for i, j in part.there.nonzero().tolist():
            then = self.t - int(part.delay[i, j])
            if then >= 0:
                v = self.history[then][at][0][i]
                out[i, j] = self.scalar(k) * m[i, j] + self.scalar(1.0 - k) * v
        return reference._flush(out)
