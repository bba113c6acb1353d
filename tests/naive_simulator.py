"""The event-driven simulator written plainly: dense matrices, one loop over time, one over spikes. The oracle of its kernel.

It shares with the library the rules' functions and the neurons' torch reference, and no line of the simulator. A pair of
neurons has at most one synapse of a projection here.
"""

from __future__ import annotations

import inspect
import math
from types import SimpleNamespace

import numpy as np
import torch

from snnkit.neurons import reference


def run(liquid, ev, signals=None, dtype=torch.float32, weights=None):
    """Every sample from rest: spikes `T B N`, end states by name, and a record of modulators."""
    samples = [Sample(liquid, dtype, weights) for _ in range(ev.shape[1])]
    x = ev.dense(dtype).reshape(ev.shape[0], ev.shape[1], -1)
    out = torch.stack(
        [
            torch.stack(
                [s.step(x[t, b], {k: v[t, b] for k, v in (signals or {}).items()}) for t in range(len(x))]
            )
            for b, s in enumerate(samples)
        ],
        dim=1,
    )
    for s in samples:
        s.settle_all()
    return SimpleNamespace(spikes=out, samples=samples)


class Sample:
    def __init__(self, liquid, dtype, weights=None):
        self.liquid, self.dtype, self.neuron = liquid, dtype, liquid.neuron
        self.constants = liquid.numbers
        N = liquid.N
        self.ports = len(self.neuron.equation.ports)
        like = torch.zeros(1, N, dtype=dtype)
        self.state = self.neuron._states([like], like.shape, None)
        self.neuron_constants = self.neuron._constants(like, (N,))
        self.parts = [self.part(p, weights) for p in liquid.blueprint.parts]
        depth = max([int(p.delay.max()) for p in self.parts if p.delay.numel()], default=0) + 1
        self.ring = torch.zeros(depth, self.ports, N, dtype=dtype)
        self.domains = liquid.modulators.domains if liquid.modulators else None
        self.mods = {
            k: self.scalar(v)
            if self.domains is None
            else self.scalar(np.broadcast_to(v, self.domains.count).copy())
            for k, v in (liquid.modulators.start if liquid.modulators else {}).items()
        }
        self.counts = {}

    def scalar(self, value):
        return torch.tensor(value, dtype=self.dtype)

    def part(self, part, weights):
        """Dense matrices of one projection, and its traces."""
        p, liquid = liquid_projection(self.liquid, part.label), self.liquid
        pre, post = torch.tensor(p.pre).long(), torch.tensor(p.post).long()
        assert len({*zip(p.pre.tolist(), p.post.tolist(), strict=True)}) == len(p), "one synapse per pair"
        w = torch.tensor(p.w) if weights is None else weights[part.label]
        least = 1 if part.recurrent else 0
        steps = [least] * len(p) if p.delay is None else [round(d / liquid.dt) for d in p.delay]
        ports = self.neuron.equation.ports
        port = ports.index(p.port) if isinstance(p.port, str) else np.array(p.port)
        dense = lambda of, kind: torch.zeros(p.shape, dtype=kind).index_put_((pre, post), of)
        rule = p.rule
        return SimpleNamespace(
            label=part.label,
            recurrent=part.recurrent,
            rule=rule,
            there=dense(torch.ones(len(p), dtype=torch.bool), torch.bool),
            delay=dense(torch.tensor(steps).long(), torch.long),
            port=dense(torch.as_tensor(port).long().expand(len(p)), torch.long),
            sign=torch.tensor(p.sign, dtype=self.dtype),
            syn={
                "w": dense(w.to(self.dtype), self.dtype),
                **{
                    k: torch.full(p.shape, v, dtype=self.dtype)
                    for k, v in (rule.synapse if rule else {}).items()
                },
            },
            traces={
                k: torch.full((p.shape[0] if t.on == "pre" else p.shape[1],), t.rest, dtype=self.dtype)
                for k, t in (rule.traces if rule else {}).items()
            },
            pre=pre,
            post=post,
        )

    # -- names ---------------------------------------------------------------------------------------------------

    def one(self, part, name):
        """A number of the sample."""
        if name in self.mods:
            return self.mods[name]
        if name in self.counts:
            return self.counts[name]
        if name in self.signals:
            return self.signals[name].to(self.dtype)
        key = name if name == "dt" else f"{part.label}.{name}"
        return self.scalar(self.constants[key])

    def side(self, part, name):
        """Whose numbers a name means, and these numbers."""
        rule = part.rule
        if name in rule.traces:
            return rule.traces[name].on, part.traces[name]
        if name in rule.per_pre:
            return "pre", torch.as_tensor(rule.per_pre[name], dtype=self.dtype)
        if name == "sign":
            return "pre", part.sign
        if name in rule.per_post:
            return "post", torch.as_tensor(rule.per_post[name], dtype=self.dtype)
        if name in self.neuron.equation.states and name not in rule.const:
            return "post", self.state[self.neuron.equation.states.index(name)][0]
        if name in self.mods and self.domains is not None and part.label != "modulators":
            return "post", self.mods[name][torch.tensor(self.domains.of).long()]
        return "one", self.one(part, name)

    def call(self, term, part, cut, syn):
        """A function of a rule on the synapses that `cut` selects: ("pre", i), ("post", j) or ("all", None)."""
        given = {}
        for name in inspect.signature(term).parameters:
            if name in syn:
                given[name] = syn[name]
                continue
            side, value = self.side(part, name)
            if side != "one":
                if cut[0] == side:
                    value = value[cut[1]]
                elif cut[0] == "all":
                    value = value[:, None] if side == "pre" else value[None]
            given[name] = value
        return reference._in_precision(self.dtype, term, **given)

    def selected(self, part, cut):
        at = {"pre": lambda m: m[cut[1]], "post": lambda m: m[:, cut[1]], "all": lambda m: m}[cut[0]]
        return {k: at(m).clone() for k, m in part.syn.items()}, at(part.there)

    def changed(self, part, cut, syn, term):
        """The synapses after a function of the rule."""
        if term is None:
            return syn
        found = self.call(term, part, cut, syn)
        found = found if isinstance(found, tuple) else (found,)
        syn = {
            k: torch.as_tensor(v, dtype=self.dtype).expand_as(syn["w"])
            for k, v in zip(syn, found, strict=True)
        }
        for bound, worse in zip(part.rule.bounds or (None, None), (torch.lt, torch.gt), strict=True):
            if bound is not None:
                if callable(bound):
                    limit = self.call(bound, part, cut, syn)
                elif isinstance(bound, str):
                    limit = self.call(eval(f"lambda {bound}: {bound}"), part, cut, syn)  # noqa: S307
                else:
                    limit = self.scalar(bound)
                limit = limit.expand_as(syn["w"])
                syn["w"] = torch.where(worse(syn["w"], limit), limit, syn["w"])
        return syn

    def store(self, part, cut, syn, there):
        for k, m in part.syn.items():
            value = syn[k] if k == "w" else reference._flush(syn[k])
            if cut[0] == "pre":
                m[cut[1]] = torch.where(there, value, m[cut[1]])
            elif cut[0] == "post":
                m[:, cut[1]] = torch.where(there, value, m[:, cut[1]])
            else:
                m[...] = torch.where(there, value, m)

    # -- one step ------------------------------------------------------------------------------------------------

    def step(self, x, signals):
        self.signals, self.counts = signals, {}
        inputs = x.nonzero()[:, 0].tolist()
        for part in self.parts:
            if not part.recurrent:
                self.deliver(part, inputs, x)
        s, spikes = self.neurons()
        for part in self.parts:
            if part.recurrent:
                self.deliver(part, spikes, s)
        self.finish(inputs, spikes)
        return s

    def neurons(self):
        outputs, self.state = reference.step(
            self.neuron.equation,
            [row[None] for row in self.ring[0].clone()],
            self.state,
            self.neuron_constants,
            fire=self.neuron._fire(),
            reset=self.neuron._reset_word(),
        )
        s = outputs[0][0]
        return s, s.nonzero()[:, 0].tolist()

    def finish(self, inputs, spikes):
        """All after the neurons and what they send: post parts, traces, every step's part, modulators."""
        self.ring = torch.cat([self.ring[1:], torch.zeros_like(self.ring[:1])])
        for part in self.parts:
            if part.rule is not None and part.rule.on_post is not None:
                for j in spikes:
                    self.touch(part, ("post", j), part.rule.on_post)
        self.trace(inputs, spikes)
        self.counts = {"n_in": self.scalar(float(len(inputs))), "n_out": self.scalar(float(len(spikes)))}
        self.spiked = inputs, spikes
        for part in self.parts:
            if part.rule is not None and part.rule.each_step is not None:
                self.each(part)
        self.modulate()

    def trace(self, inputs, spikes):
        for part in self.parts:
            for name, trace in (part.rule.traces if part.rule else {}).items():
                who = spikes if part.recurrent or trace.on == "post" else inputs
                self.remember(part, name, trace, who)
            for name, trace in (part.rule.traces if part.rule else {}).items():
                self.fade(part, name, trace)

    def deliver(self, part, spikes, values):
        rule = part.rule
        for i in spikes:
            cut = ("pre", i)
            syn, there = self.selected(part, cut)
            if rule is not None:
                syn = self.changed(part, cut, syn, rule.settle)
            amount = (
                syn["w"] if rule is None or rule.deliver is None else self.call(rule.deliver, part, cut, syn)
            )
            amount = amount * values[i]
            to = (part.delay[i][there], part.port[i][there], there.nonzero()[:, 0])
            self.ring[to] = self.ring[to] + amount[there]
            if rule is not None:
                self.store(part, cut, self.changed(part, cut, syn, rule.on_pre), there)

    def touch(self, part, cut, term):
        syn, there = self.selected(part, cut)
        syn = self.changed(part, cut, syn, part.rule.settle)
        self.store(part, cut, self.changed(part, cut, syn, term), there)

    def remember(self, part, name, trace, spikes):
        if trace.of is not None:
            return
        before = part.traces if name == next(iter(part.rule.traces)) else self.before
        if name == next(iter(part.rule.traces)):
            self.before = before = {k: v.clone() for k, v in part.traces.items()}
        x = part.traces[name]
        for n in spikes:
            if trace.jump is not None:
                given = {}
                for word in inspect.signature(trace.jump).parameters:
                    given[word] = before[word][n] if word in before else self.side(part, word)[1]
                    given[word] = given[word][n] if given[word].dim() else given[word]
                x[n] = reference._in_precision(self.dtype, trace.jump, **given)
            else:
                x[n] = self.scalar(trace.add) if trace.set else x[n] + self.scalar(trace.add)

    def fade(self, part, name, trace):
        x, k = part.traces[name], math.exp(-self.liquid.dt / trace.tau)
        keep = self.scalar(k)
        if trace.of is not None:
            v = self.state[self.neuron.equation.states.index(trace.of)][0]
            x = keep * x + self.scalar(1.0 - k) * v
        elif trace.rest:
            rest = self.scalar(trace.rest)
            x = rest + (x - rest) * keep
        else:
            x = x * keep
        part.traces[name] = reference._flush(x)

    def each(self, part):
        rule, cut = part.rule, ("all", None)
        syn, there = self.selected(part, cut)
        new = self.changed(part, cut, syn, rule.each_step)
        if rule.when is not None:
            there = there & torch.as_tensor(self.call(rule.when, part, cut, syn)).expand_as(there)
        self.store(part, cut, new, there)

    def modulate(self):
        modulators = self.liquid.modulators
        if modulators is None:
            return
        owner = SimpleNamespace(label="modulators")
        names = inspect.signature(modulators.step).parameters
        mine = {} if self.domains is None else self.in_domains()
        given = {n: mine[n] if n in mine else self.one(owner, n) for n in names}
        found = reference._in_precision(self.dtype, modulators.step, **given)
        found = found if isinstance(found, tuple) else (found,)
        self.mods = dict(zip(self.mods, (torch.as_tensor(v, dtype=self.dtype) for v in found), strict=True))

    def in_domains(self):
        """Counts per domain and the flows between them, summed in the order of spikes and domains."""
        domains, (inputs, spikes) = self.domains, self.spiked
        share = torch.tensor(domains.seen(self.liquid.M)).to(self.dtype)
        coupling = torch.tensor(domains.coupled()).to(self.dtype)
        n_in, n_out = (torch.zeros(domains.count, dtype=self.dtype) for _ in range(2))
        for i in inputs:
            n_in = n_in + share[i]
        for j in spikes:
            n_out[domains.of[j]] += 1
        found = {"n_in": n_in, "n_out": n_out}
        for name, value in self.mods.items():
            flow = torch.zeros_like(value)
            for h in range(domains.count):
                flow = flow + coupling[:, h] * (value[h] - value)
            found[f"flow_{name}"] = flow
        return found

    def settle_all(self):
        for part in self.parts:
            if part.rule is not None and part.rule.settle is not None:
                cut = ("all", None)
                syn, there = self.selected(part, cut)
                self.store(part, cut, self.changed(part, cut, syn, part.rule.settle), there)

    def weights(self, label, state="w"):
        """In the order of the liquid's projection."""
        part = next(p for p in self.parts if p.label == label)
        return part.syn[state][part.pre, part.post]


def liquid_projection(liquid, label):
    return liquid.projection(label)
