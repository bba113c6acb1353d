"""Sound to spikes: filter banks with a code behind them.

`Cochlea` is a gammatone bank on the ERB scale with hair cells; `MelCochlea` has mel bands; `SiliconCochlea` stands in for the
AER-EAR chip of N-TIDIGITS. `snnkit.encoders.cochlea_heidelberg` has the cochlea of SHD. All are values: frozen dataclasses whose
parameters say what comes out. A call takes one clip and gives `Events` of shape (polarities, 1, channels), the channel
being x; `batch` takes many and gives `Packed`; `.tensor(dt=...)` of either is what networks take.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.encoders.cochlea_codes import Code, Fire
from snnkit.encoders.gammatone import erb_centres, gammatone
from snnkit.encoders.hair_cell import amplitude
from snnkit.encoders.mel import mel_centres, mel_energy, pcen
from snnkit.encoders.sound import as_events, checked_audio, checked_rate, highest, packed, with_rms
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

SPEECH = 0.02  # rms of speech at 60 dB SPL, in pascal
FIRE = Fire(gain=2000.0)
MEL_FIRE = Fire(gain=100.0, refractory=0.0)


@dataclass(frozen=True, kw_only=True)
class _Ear:
    """What all of them share: `rate` of the sound, and how its parameters become spikes."""

    rate: float = 16000.0

    version: ClassVar[int] = 1

    def __call__(self, audio: ArrayLike, rate: float | None = None) -> Events:
        """Spikes of one clip. `rate` overrides the encoder's own."""
        fs = checked_rate(self.rate if rate is None else rate)
        return self._spikes(checked_audio(audio), fs)

    def batch(self, clips: Iterable[Any], rate: float | None = None) -> Packed:
        """Spikes of many clips, of any lengths."""
        return packed(self(clip, rate) for clip in clips)

    def _spikes(self, clip: NDArray[np.float64], rate: float) -> Events:
        raise NotImplementedError


def _coded(x: NDArray[np.float64], code: Code, rate: float, start: float) -> Events:
    channels = code.width(x.shape[1])
    if channels > 32767:
        raise UserError(f"{channels} channels of spikes are more than 32767: take fewer levels or bands")
    spikes = code.spikes(x, rate) if len(x) else (np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.uint8))
    return as_events(spikes, rate, channels, code.polarities, start)


@dataclass(frozen=True, kw_only=True)
class Cochlea(_Ear):
    """A gammatone bank, hair cells, and a code: `Cochlea(channels=64, rate=8000)(audio)`; channel 0 is the highest.

    A channel's wave is half-wave rectified, compressed, and smoothed. `Fire` sees that amplitude; codes of ln(energy) see
    ln(floor + amplitude), so that with them power=1 and an envelope's cutoff of 50 to 200 Hz are usual.

    Args:
        rate: of the sound, samples per second, unless a call says otherwise.
        channels: how many, 1 to 700 and more.
        low, high: range in Hz; high=None is 8 kHz, or 0.475 of the rate where that is less.
        code: what makes spikes; see `snnkit.encoders.cochlea_codes`.
        power: exponent of the compression; 1 is none.
        cutoff: of the smoothing in Hz; 0 is none.
        floor: below this amplitude all is silence to the codes of ln(energy).
        rms: root mean square that the sound is brought to (0.02 Pa is 60 dB SPL); None leaves it.

    >>> import numpy as np
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(1600) / 16000)
    >>> Cochlea()(tone).sensor
    (1, 1, 64)
    """

    channels: int = 64
    low: float = 100.0
    high: float | None = None
    code: Code = FIRE
    power: float = 0.3
    cutoff: float = 1000.0
    floor: float = 1e-4
    rms: float | None = SPEECH

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        if not (0 < self.power <= 1 and self.cutoff >= 0 and self.floor > 0):
            raise UserError(
                f"expected 0 < power <= 1, cutoff >= 0 and floor > 0, got {self.power}, {self.cutoff}, {self.floor}"
            )

    def frequencies(self, rate: float | None = None) -> NDArray[np.float64]:
        """Centres of the channels in Hz, descending."""
        fs = checked_rate(self.rate if rate is None else rate)
        return erb_centres(self.channels, self.low, highest(self.high, 8000.0, fs, self.low))

    def amplitudes(self, audio: ArrayLike, rate: float | None = None) -> NDArray[np.float64]:
        """What the code sees before any logarithm, (T, channels), at the sound's rate."""
        fs = checked_rate(self.rate if rate is None else rate)
        wave = gammatone(with_rms(checked_audio(audio), self.rms), fs, self.frequencies(fs))
        return amplitude(wave, fs, power=self.power, cutoff=self.cutoff)

    def _spikes(self, clip: NDArray[np.float64], rate: float) -> Events:
        x = self.amplitudes(clip, rate)
        return _coded(np.log(self.floor + x) if self.code.logarithmic else x, self.code, rate, 0.0)


@dataclass(frozen=True, kw_only=True)
class MelCochlea(_Ear):
    """Mel bands and a code: `MelCochlea(rate=8000, code=Edges())(audio)`; channel 0 is the lowest band.

    `Fire` sees the energies after `energy`; codes of ln(energy) see ln(1e-6 + E).

    Args:
        rate: of the sound, samples per second, unless a call says otherwise.
        bands: how many.
        low, high: range in Hz; high=None is 7 600 Hz, or 0.475 of the rate where that is less.
        window, hop: of the short-time spectrum in s. A spike's time is the middle of its window.
        code: what makes spikes.
        energy: "log" (ln(1 + E/1e-6)), "pcen" or "linear"; what `Fire` sees.
        rms: root mean square that the sound is brought to; None leaves it.
    """

    bands: int = 40
    low: float = 20.0
    high: float | None = None
    window: float = 25e-3
    hop: float = 5e-3
    code: Code = MEL_FIRE
    energy: Literal["pcen", "log", "linear"] = "log"
    rms: float | None = None

    floor: ClassVar[float] = 1e-6

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        if self.bands < 1 or not 0 < self.hop <= self.window < 1:
            raise UserError(
                f"expected bands >= 1 and 0 < hop <= window in seconds, got {self.bands}, {self.hop}, {self.window}"
            )
        if self.energy not in ("pcen", "log", "linear"):
            raise UserError(f"energy is 'pcen', 'log' or 'linear', got {self.energy!r}")

    def frequencies(self, rate: float | None = None) -> NDArray[np.float64]:
        """Centres of the bands in Hz, ascending."""
        fs = checked_rate(self.rate if rate is None else rate)
        return mel_centres(self.bands, self.low, highest(self.high, 7600.0, fs, self.low))

    def energies(self, audio: ArrayLike, rate: float | None = None) -> NDArray[np.float64]:
        """Energy of every band, (frames, bands); one frame per `hop`."""
        fs = checked_rate(self.rate if rate is None else rate)
        top = highest(self.high, 7600.0, fs, self.low)
        clip = with_rms(checked_audio(audio), self.rms)
        return mel_energy(
            clip, fs, bands=self.bands, low=self.low, high=top, window=self.window, hop=self.hop
        )

    def _spikes(self, clip: NDArray[np.float64], rate: float) -> Events:
        x, step = self.energies(clip, rate), max(round(self.hop * rate), 1) / rate
        if self.code.logarithmic:
            x = np.log(self.floor + x)
        elif self.energy == "pcen":
            x = pcen(x, step)
        elif self.energy == "log":
            x = np.log1p(x / self.floor)
        return _coded(x, self.code, 1 / step, 0.5 * self.window)


@dataclass(frozen=True, kw_only=True)
class SiliconCochlea(_Ear):
    """A stand-in for the AER-EAR chip of N-TIDIGITS: 64 channels, one ear, one neuron each; channel 0 is the highest.

    Gammatone filters evenly spaced in log frequency, half-wave rectifiers, and integrate-and-fire neurons without leak, so that
    the rate is proportional to the rectified amplitude; 0.5 ms of rest after a spike. The default gain gives a spoken word of
    60 dB about 3 000 to 10 000 spikes per second. The chip itself has second-order sections in a cascade, 50 Hz to 20 kHz.

    Source: Liu, van Schaik, Minch, Delbruck, IEEE TBioCAS 8 (2014); Anumula, Neil, Delbruck, Liu, Front. Neurosci. 12 (2018).
    """

    channels: int = 64
    low: float = 100.0
    high: float | None = None
    gain: float = 120000.0
    refractory: float = 0.5e-3
    rms: float | None = SPEECH

    def __post_init__(self) -> None:
        checked_rate(self.rate)
        if self.channels < 2:
            raise UserError(f"expected channels >= 2, got {self.channels}")

    def frequencies(self, rate: float | None = None) -> NDArray[np.float64]:
        """Centres of the channels in Hz, descending."""
        fs = checked_rate(self.rate if rate is None else rate)
        return np.geomspace(highest(self.high, 8000.0, fs, self.low), self.low, self.channels)

    def _spikes(self, clip: NDArray[np.float64], rate: float) -> Events:
        wave = gammatone(with_rms(clip, self.rms), rate, self.frequencies(rate))
        code = Fire(gain=self.gain, tau=np.inf, adapt=0.0, refractory=self.refractory)
        return _coded(np.maximum(wave, 0.0, out=wave), code, rate, 0.0)
