"""The Heidelberg cochlea: sound to the spikes of 700 bushy cells, as the Heidelberg Digits (SHD) and SSC were made.

    sound at an rms of 0.3 → Hann ramps → basilar membrane (`Membrane`) → hair cells (`Meddis`) → 40 nerve fibres each,
    Bernoulli with 1 ms of rest → bushy cell: τ_s di/dt = -i + spikes, τ_m dv/dt = -v + τ_m i, spike at v ≥ 1

Source: Cramer, Stradmann, Schemmel, Zenke, IEEE TNNLS 33 (2022), 10.1109/TNNLS.2020.3044364.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.encoders.hair_cell import Meddis
from snnkit.encoders.membrane import Membrane
from snnkit.encoders.sound import as_events, checked_audio, checked_rate, decay, packed, resampled, with_rms
from snnkit.encoders.values import checked_seed
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

MEMBRANE, MEDDIS = Membrane(), Meddis()


@dataclass(frozen=True, kw_only=True)
class HeidelbergCochlea:
    """Sound to spikes as in SHD: `HeidelbergCochlea(rate=8000)(audio)`; channel 0 has the highest frequency.

    The first clip of a length takes a few seconds, in which the membrane's response is computed; it is kept for the next
    clips whose length is within an eighth of a second.

    Args:
        rate: of the sound, samples per second, unless a call says otherwise.
        channels: places along the membrane.
        inner: rate at which the membrane works; sound is resampled. The hair cells run at half of it. SHD's sound had 48 kHz.
        rms: root mean square that the sound is brought to; None leaves it.
        ramp: length of the Hann ramps at both ends in s; None is half of the clip each, as in the tool.
        fibres, weight: nerve fibres per bushy cell, and what one spike of all of them together adds to the current, 1/s.
        fibre_rest, tau_synapse, tau_membrane, refractory: of the fibres and the cell, s.
        membrane, hair: the constants of the models.
        seed: of the fibres. A clip's spikes also depend on its key, which is 0 unless `batch` is given others.
    """

    rate: float = 16000.0
    channels: int = 700
    inner: float = 20000.0
    rms: float | None = 0.3
    ramp: float | None = None
    fibres: int = 40
    weight: float = 13000.0
    fibre_rest: float = 1e-3
    tau_synapse: float = 0.5e-3
    tau_membrane: float = 1e-3
    refractory: float = 1e-3
    membrane: Membrane = MEMBRANE
    hair: Meddis = MEDDIS
    seed: int = 0

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        checked_rate(self.inner)
        checked_seed(self.seed)
        self.hair.check_step(2 / self.inner)
        if not 2 <= self.channels <= 32767 or not 1 <= self.fibres <= 10_000:
            raise UserError(
                f"expected 2 to 32767 channels and 1 to 10000 fibres, got {self.channels}, {self.fibres}"
            )
        for name in ("fibre_rest", "tau_synapse", "tau_membrane", "refractory"):
            if not 0 <= getattr(self, name) < 1 or (name.startswith("tau") and getattr(self, name) == 0):
                raise UserError(f"{name} is in seconds, 0 to 1; got {getattr(self, name)}")

    def frequencies(self) -> NDArray[np.float64]:
        """Resonances of the channels' places in Hz, descending."""
        return self.membrane.resonance(self.membrane.places(self.channels))

    def __call__(self, audio: ArrayLike, rate: float | None = None, *, key: int = 0) -> Events:
        """Spikes of one clip, shape (1, 1, channels)."""
        from snnkit.kernels.encoders.nerve import nerve

        s, fs = self.vibration(audio, rate)
        dt = 1 / fs
        rests = round(self.fibre_rest * fs), round(self.refractory * fs)
        keep_i, keep_v = decay(dt, self.tau_synapse), decay(dt, self.tau_membrane)
        # so that the mean current and voltage are those of the equations for any dt
        weight = self.weight / self.fibres * self.tau_synapse / dt * (1 - keep_i)
        when, where = nerve(
            s,
            dt,
            self.hair.constants(),
            self.fibres,
            rests[0],
            weight,
            keep_i,
            self.tau_membrane * (1 - keep_v),
            keep_v,
            rests[1],
            checked_seed(self.seed),
            np.uint64(key % 2**64),
        )
        return as_events((when, where, np.ones(len(when), np.uint8)), fs, self.channels, 1)

    def vibration(self, audio: ArrayLike, rate: float | None = None) -> tuple[NDArray[np.float32], float]:
        """Velocities of the membrane, (channels, T), and their rate: what the hair cells see."""
        clip = resampled(checked_audio(audio), checked_rate(self.rate if rate is None else rate), self.inner)
        clip = _ramped(with_rms(clip, self.rms), self.inner, self.ramp)
        if len(clip) < 2:
            return np.zeros((self.channels, 0), np.float32), self.inner / 2
        return self.membrane.velocity(clip, self.inner, self.channels)

    def batch(
        self, clips: Iterable[Any], rate: float | None = None, keys: Iterable[int] | None = None
    ) -> Packed:
        """Spikes of many clips; clip i has its own draws, by its number or by `keys`."""
        clips = list(clips)
        names = range(len(clips)) if keys is None else list(keys)
        return packed(self(clip, rate, key=key) for clip, key in zip(clips, names, strict=True))


def _ramped(clip: NDArray[np.float64], rate: float, ramp: float | None) -> NDArray[np.float64]:
    n = len(clip) // 2 if ramp is None else min(round(ramp * rate), len(clip) // 2)
    if n < 1:
        return clip
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    out = clip.copy()
    out[:n] *= rise
    out[len(out) - n :] *= rise[::-1]
    return out
