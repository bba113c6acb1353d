"""The network that EventProp differentiates, in continuous time: events in order, closed-form flow, crossings to rounding."""

import heapq
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq


@dataclass(frozen=True)
class Net:
    """Neurons with τ_m V' = I - V and τ_s I' = -I, V < 1, V := 0 at a spike; a spike arrives after d and adds w to I."""

    w_in: np.ndarray  # inputs x neurons
    d_in: np.ndarray
    w_rec: np.ndarray  # neurons x neurons
    d_rec: np.ndarray
    w_out: np.ndarray  # neurons x readouts
    d_out: np.ndarray
    tau_mem: float = 20e-3
    tau_syn: float = 5e-3
    end: float = 40e-3

    def flow(self, v, i, s):
        a, b = math.exp(-s / self.tau_mem), math.exp(-s / self.tau_syn)
        return v * a + i * self.tau_syn / (self.tau_mem - self.tau_syn) * (a - b), i * b

    def crossing(self, v, i, longest):
        """Time until V reaches 1, or None; V has one maximum at most."""
        if i <= v:  # falling
            return None
        tm, ts = self.tau_mem, self.tau_syn
        c = i * ts / (tm - ts)  # V(s) = (v + c) exp(-s/tm) - c exp(-s/ts)
        top = math.log((tm * c) / (ts * (v + c))) * tm * ts / (tm - ts) if c * (v + c) > 0 else longest
        top = min(top, longest)
        if top <= 0 or self.flow(v, i, top)[0] < 1:
            return None
        return brentq(lambda s: self.flow(v, i, s)[0] - 1, 0, top, xtol=1e-16, rtol=1e-15)

    def readout(self, s):
        """The integral over the rest of the time of what an arrival of weight 1 does to a readout's voltage."""
        tm, ts = self.tau_mem, self.tau_syn
        return ts / (tm - ts) * (tm * (1 - np.exp(-s / tm)) - ts * (1 - np.exp(-s / ts))) * (s > 0)

    def run(self, times):
        """Spikes as (time, neuron, slope τ_m V') in order, from input spikes as (time, input)."""
        n = self.w_rec.shape[0]
        v, i, at = np.zeros(n), np.zeros(n), np.zeros(n)
        queue, spikes, order = [], [], 0
        for t, k in times:
            for j in range(n):
                heapq.heappush(queue, (t + self.d_in[k, j], order := order + 1, j, self.w_in[k, j]))
        now = 0.0
        while True:
            until = min(queue[0][0], self.end) if queue else self.end
            found = [(now + s, j) for j in range(n) if (s := self._next(v, i, at, j, now, until)) is not None]
            if found:
                now, j = min(found)
                v[j], i[j] = self.flow(v[j], i[j], now - at[j])
                spikes.append((now, j, i[j] - 1.0))
                v[j], at[j] = 0.0, now
                for k in range(n):
                    arrival = now + self.d_rec[j, k]
                    heapq.heappush(queue, (arrival, order := order + 1, k, self.w_rec[j, k]))
            elif until < self.end:
                now, _, j, w = heapq.heappop(queue)
                v[j], i[j] = self.flow(v[j], i[j], now - at[j])
                i[j], at[j] = i[j] + w, now
            else:
                return spikes

    def _next(self, v, i, at, j, now, until):
        here, current = self.flow(v[j], i[j], now - at[j])
        return self.crossing(here, current, until - now)

    def loss(self, times):
        """Σ_o y_o + y_o²/2 over the integrals y of the readouts' voltages [in ms], and the number of spikes."""
        spikes = self.run(times)
        y = np.zeros(self.w_out.shape[1])
        for t, j, _ in spikes:
            y += self.w_out[j] * self.readout(self.end - t - self.d_out[j]) * 1e3
        return float((y + 0.5 * y**2).sum()), spikes


def differences(net, times, what, step):
    """Central differences of the loss by an array of the network; NaN where the spikes are not the same on both sides."""
    from dataclasses import replace

    base = getattr(net, what)
    found = np.full(base.shape, np.nan)
    count = [j for _, j, _ in net.run(times)]
    for index in np.ndindex(base.shape):
        sides = []
        for sign in (1, -1):
            moved = base.copy()
            moved[index] += sign * step
            value, spikes = replace(net, **{what: moved}).loss(times)
            sides.append((value, [j for _, j, _ in spikes]))
        if sides[0][1] == count == sides[1][1]:
            found[index] = (sides[0][0] - sides[1][0]) / (2 * step)
    return found
