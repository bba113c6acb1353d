"""The pixels of a real event camera: bandwidth, mismatch, leak, noise, refractory time and readout.

A pixel's light I (grey level 0..255) becomes a voltage L, which passes a low-pass that is slower in the dark; the pixel emits
an event whenever the voltage has moved a contrast threshold away from its memory R:

    L = ln(I/255 + eps)                       or lin-log: I ln(20)/20 up to 20 grey levels, ln I above
    τ dlp/dt = L - lp,   τ = 1/(2π f_c i),    i = (I + 20)/275, I the mean of two frames
    lp - R ≥ θ_on  → ON,  R ← R + θ_on        R - lp ≥ θ_off → OFF, R ← R - θ_off
    dR/dt = -leak · N · θ_on                  so that a static scene gives ON events at the leak rate
    shot noise: Poisson, ON and OFF each at (shot/2) (1 - 0.75 i) θ/θ_pixel; after such an event R ← lp

Sources: Lichtsteiner, Posch, Delbruck, IEEE JSSC 43 (2008); Nozaki, Delbruck, IEEE TED 64 (2017), leak; Rebecq, Gehrig,
Scaramuzza, CoRL (2018), "ESIM"; Hu, Liu, Delbruck, CVPRW (2021), "v2e".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnkit.encoders.camera import _generator
from snnkit.errors import UserError

LEAST = 0.01  # no pixel's threshold is below this


@dataclass(frozen=True, kw_only=True)
class DVS:
    """The constants of an event camera; the defaults are v2e's. Call it with frames: `DVS()(frames, times)`.

    Args:
        threshold_on, threshold_off: contrast thresholds θ in units of ln(intensity).
        mismatch: standard deviation of θ; thresholds stay at or above 0.01.
        mismatch_per: "pixel" draws it once for every pixel and polarity, a fixed pattern as in silicon and v2e; "frame"
            draws anew for every pixel and interval between frames, which is jitter, as in ESIM.
        cutoff: bandwidth f_c in Hz in white light; a black pixel is 13.75 times slower. 0 is unlimited.
        leak: rate of ON events of a pixel in a static scene, Hz.
        leak_jitter: relative spread of a pixel's leak from one interval between frames to the next.
        noise_spread: spread of the leak between pixels, in decades: N = 10^(spread · gauss).
        shot: rate of noise events in the dark, ON and OFF together, Hz per pixel. In white a quarter is left.
        photoreceptor: shot noise from Gaussian noise on the voltage, scaled so that it gives about `shot` events per
            second, instead of a Poisson process. Then events cluster as they do in the silicon; needs `cutoff`.
        refractory: time after an event in which a pixel emits none, s. It goes on remembering what it last signalled
            and catches up afterwards (v2e's rule), unless
        refractory_forgets: what it would have signalled in that time is lost (ESIM's rule).
        hot: share of pixels that are hot: they emit ON events at a rate of their own, drawn log-uniformly from
        hot_rate: (lowest, highest), Hz.
        response: "log" or "linlog".
        eps: intensity added before the logarithm, where white is 1, for "log" (ESIM's 0.001).
        random_phase: pixels start anywhere between their thresholds; otherwise their memory is the first frame, and all
            pixels leak in step.
    """

    threshold_on: float = 0.2
    threshold_off: float = 0.2
    mismatch: float = 0.03
    mismatch_per: Literal["pixel", "frame"] = "pixel"
    cutoff: float = 300.0
    leak: float = 0.01
    leak_jitter: float = 0.1
    noise_spread: float = 0.1
    shot: float = 0.001
    photoreceptor: bool = False
    refractory: float = 0.5e-3
    refractory_forgets: bool = False
    hot: float = 0.0
    hot_rate: tuple[float, float] = (10.0, 1000.0)
    response: Literal["log", "linlog"] = "linlog"
    eps: float = 1e-3
    random_phase: bool = True

    def __post_init__(self) -> None:
        for name in ("threshold_on", "threshold_off", "eps"):
            _check(self, name, 0.0, math.inf, strict=True)
        names = (
            "mismatch",
            "cutoff",
            "leak",
            "leak_jitter",
            "noise_spread",
            "shot",
        )
        for name in names:
            _check(self, name, 0.0, math.inf)
        _check(self, "hot", 0.0, 1.0)
        if not 0 <= self.refractory < 1:
            raise UserError(
                f"refractory is in seconds, 0 to 1; got {self.refractory}. For 0.5 ms write 0.5e-3"
            )
        low, high = self.hot_rate
        if not 0 < low <= high < math.inf:
            raise UserError(f"expected hot_rate=(lowest, highest) in Hz, got {self.hot_rate}")
        for name, choices in (("mismatch_per", ("pixel", "frame")), ("response", ("log", "linlog"))):
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is one of {choices}, got {getattr(self, name)!r}")
        if self.photoreceptor:
            self.noise_voltage()

    def noise_voltage(self) -> float:
        """Standard deviation of the photoreceptor's noise that gives `shot` events per second; v2e's fit.

        log10(θ/v) = -0.0026 x³ - 0.036 x² - 0.1949 x + 0.321 with x = log10(shot/(2 f_c)), for -5 < x < 0.
        """
        if not self.photoreceptor or self.shot == 0:
            return 0.0
        x = math.log10(self.shot / (2 * self.cutoff)) if self.cutoff else math.inf
        if not -5 < x < 0:
            raise UserError(
                f"photoreceptor noise is known for 2e-5 < shot/cutoff < 2; got shot={self.shot} and cutoff={self.cutoff} Hz. "
                "Choose others, or photoreceptor=False"
            )
        ratio = 10 ** (-0.0026 * x**3 - 0.036 * x**2 - 0.1949 * x + 0.321)
        return min(self.threshold_on, self.threshold_off) / ratio

    def constants(self) -> NDArray[np.float64]:
        """What the loop needs, in its order."""
        from snnkit.kernels.encoders import camera as loop

        out = np.zeros(loop.CONSTANTS)
        out[loop.THRESHOLD_ON], out[loop.THRESHOLD_OFF] = self.threshold_on, self.threshold_off
        out[loop.JITTER] = self.mismatch if self.mismatch_per == "frame" else 0.0
        out[loop.CUTOFF], out[loop.LEAK_JITTER] = self.cutoff, self.leak_jitter
        out[loop.VOLTAGE] = self.noise_voltage()
        out[loop.SHOT] = 0.0 if self.photoreceptor else self.shot
        out[loop.REFRACTORY], out[loop.MOVES] = self.refractory, self.refractory_forgets
        out[loop.LINLOG], out[loop.EPS] = self.response == "linlog", self.eps
        return out

    def pixels(self, count: int, seed: int) -> NDArray[np.float64]:
        """The fixed pattern: θ_on, θ_off, leak rate and hot rate of every pixel, (count, 4)."""
        rng = _generator(seed, 0)
        draw = rng.standard_normal((count, 3))
        chance, rate = rng.uniform(size=(2, count))
        out = np.zeros((count, 4))
        spread = self.mismatch if self.mismatch_per == "pixel" else 0.0
        nominal = (self.threshold_on, self.threshold_off)
        out[:, :2] = np.maximum(np.array(nominal) + spread * draw[:, :2], LEAST)
        out[:, 2] = self.leak * 10 ** (self.noise_spread * draw[:, 2])
        low, high = np.log(self.hot_rate)
        out[:, 3] = np.where(chance < self.hot, np.exp(low + (high - low) * rate), 0.0)
        return out

    def __call__(self, frames, times=None, *, rate=None, seed: int = 0):
        """Events of this camera in front of a video; see `snnkit.encoders.video.record_video`."""
        from snnkit.encoders.video import record_video

        return record_video(frames, times, rate=rate, dvs=self, seed=seed)


def ideal(threshold: float = 0.2, **options) -> DVS:
    """A camera without mismatch, low-pass, noise and refractory time; `options` bring any of them back.

    >>> ideal(0.3).cutoff
    0.0
    """
    none = {"mismatch": 0.0, "cutoff": 0.0, "leak": 0.0, "leak_jitter": 0.0, "noise_spread": 0.0, "shot": 0.0}
    both = {"threshold_on": threshold, "threshold_off": threshold, "refractory": 0.0}
    return DVS(**{**none, **both, **options})


def clean(**options) -> DVS:
    """v2e's "clean" settings: mismatch of 0.02 and nothing else."""
    return ideal(**{"mismatch": 0.02, **options})


def noisy(**options) -> DVS:
    """v2e's "noisy" settings, a camera in the dark: 30 Hz of bandwidth, 5 Hz of shot noise per pixel."""
    return DVS(**{"mismatch": 0.05, "cutoff": 30.0, "leak": 0.1, "shot": 5.0, "refractory": 0.0, **options})


def esim(**options) -> DVS:
    """ESIM's model with the thresholds of its example: ln(I + 0.001), thresholds that jitter from frame to frame."""
    mine = {"mismatch": 0.021, "mismatch_per": "frame", "response": "log", "refractory_forgets": True}
    return ideal(**{"threshold": 0.5, **mine, **options})


def _check(dvs: DVS, name: str, low: float, high: float, strict: bool = False) -> None:
    value = getattr(dvs, name)
    if not (low < value < math.inf if strict else low <= value <= high and math.isfinite(value)):
        limits = f"> {low:g}" if strict else f"from {low:g}" + (f" to {high:g}" if high < math.inf else "")
        raise UserError(f"expected {name} {limits}, got {value}")
