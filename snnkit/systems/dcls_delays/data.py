"""What the networks learn from: lags between two channels, spoken digits and words through a cochlea, and the Heidelberg sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnkit import datasets
from snnkit.datasets import EventDataset, Packed
from snnkit.datasets.fingerprint import array_digest
from snnkit.datasets.store import cached, from_stored
from snnkit.datasets.transforms.base import parameters
from snnkit.datasets.writer import Writer
from snnkit.encoders import Cochlea
from snnkit.systems.dcls_delays.network import DT, Config
from snnkit.systems.reproduction import Setting

LAGS, PULSES = (0, 4, 8, 12, 16, 20), 8
DIGITS = Config(classes=10, hidden=(96, 96), steps=60, dropout=0.2, epochs=30, batch=64, sharp="integer")
CONFIGS = {
    "coincidence": Config(
        inputs=2,
        classes=len(LAGS),
        hidden=(32,),
        steps=80,
        dropout=0.0,
        epochs=24,
        batch=32,
        sharp="integer",
        bias=-1.5,
        shrink=0.5,
    ),
    "fsdd": DIGITS,
    "fsdd-700": DIGITS,
    "fsdd-speakers": DIGITS,
    "fsdd-700-speakers": DIGITS,
    "speech-commands": replace(DIGITS, classes=12, steps=100, longest=30, tau=15e-3, epochs=60),
    "shd": Config(),
    "ssc": Config(
        classes=35, hidden=(512,) * 3, longest=30, tau=15e-3, dropout=0.25, epochs=60, batch=128, steps=100
    ),
}


@dataclass(frozen=True)
class Task:
    """Recordings to train on, to choose on and to report on, and the network for them."""

    train: EventDataset
    valid: EventDataset
    test: EventDataset
    config: Config
    how: str  # the split, in words


def load(setting: Setting, seed: int) -> Task:
    """The task `setting.dataset` names; `seed` draws what is drawn: samples, validation part, speakers left out."""
    name = str(setting.dataset)
    config = CONFIGS[name]
    if name == "coincidence":
        task = _coincidence(config, seed, 420 if setting.quick else 2100)
    elif name in ("shd", "ssc"):
        task = _heidelberg(name, config, seed, setting)
    elif name == "speech-commands":
        task = _commands(config, setting)
    else:
        task = _digits(config, seed, setting, 700 if "700" in name else 140, "speakers" in name)
    return _small(task) if setting.quick else task


def _small(task: Task) -> Task:
    """A little of everything, for a quick run."""

    def few(ds: EventDataset, count: int) -> EventDataset:
        return ds.subset(np.random.default_rng(0).permutation(len(ds))[:count])

    config = replace(
        task.config,
        hidden=(32,) * len(task.config.hidden),
        epochs=5,
        batch=32,
    )
    return Task(few(task.train, 256), few(task.valid, 64), few(task.test, 64), config, task.how)


# -- two channels -----------------------------------------------------------------------------------------------------


def coincidence(count: int, rng: np.random.Generator, steps: int = 100) -> EventDataset:
    """Two channels with the same spikes, the second some steps later: the class is that lag, 0, 4, ... 20 steps.

    Channel 0 has 8 spikes in different steps, drawn uniformly; channel 1 has them shifted around the end of the window. So
    every channel of every class is drawn alike: counts, rates and places tell nothing.
    """
    labels = rng.permutation(np.arange(count) % len(LAGS))
    lag = np.array(LAGS)[labels]
    first = np.argsort(rng.random((count, steps)), axis=1)[:, :PULSES]
    at = np.stack([first, (first + lag[:, None]) % steps], axis=2).reshape(
        count, -1
    )  # channel varies fastest
    order = np.argsort(at, axis=1, kind="stable")
    t = np.take_along_axis(at, order, 1).ravel() * round(DT * 1e6) + round(DT * 5e5)
    x = (order % 2).astype(np.int16).ravel()
    zero = np.zeros(len(t), np.int16)
    offsets = np.arange(count + 1) * 2 * PULSES
    packed = Packed(t, x, zero, zero.astype(np.uint8), offsets, (1, 1, 2))
    return EventDataset("coincidence", packed, labels, tuple(f"{k} steps" for k in LAGS))


def _coincidence(config: Config, seed: int, count: int) -> Task:
    rng = np.random.default_rng(seed)
    train, valid, test = (coincidence(n, rng, config.steps) for n in (count, count // 2, count // 2))
    return Task(train, valid, test, config, "drawn anew for every seed")


# -- speech through the cochlea ---------------------------------------------------------------------------------------


def encoded(name: str, encoder: Any, setting: Setting) -> EventDataset:
    """All recordings of a set of sounds as spikes, kept in the cache folder: the second time they are only mapped."""
    sounds = datasets.load(name, "all", root=setting.root, progress=False)
    content = array_digest(np.asarray(sounds.signal), sounds.starts, sounds.stops)
    key = {"sounds": name, "content": content, "encoder": parameters(encoder)}

    def build(writer: Writer) -> None:
        setting.say(f"encoding {len(sounds)} sounds of {name}, once")
        writer.fill(range(len(sounds)), lambda i: encoder(sounds[i][0]), name, progress=False)

    packed = from_stored(cached(f"{name}-cochlea", key, build))
    about = {column: sounds.column(column) for column in sounds.about}
    return EventDataset(name, packed, sounds.labels, sounds.classes, about=about)


def pooled(ds: EventDataset, group: int) -> EventDataset:
    """The same spikes with `group` neighbouring channels as one: what the published networks see of 700."""
    p = ds.packed
    sensor = (1, 1, p.sensor[2] // group)
    packed = Packed(p.t, (np.asarray(p.x) // group).astype(np.int16), p.y, p.p, p.offsets, sensor)
    return EventDataset(ds.name, packed, ds.targets, ds.classes, ids=ds.ids, about=ds.about)


def _cochlea(name: str, channels: int, rate: float, setting: Setting) -> EventDataset:
    ds = encoded(name, Cochlea(channels=channels, rate=rate), setting)
    return pooled(ds, channels // 140)


def _digits(config: Config, seed: int, setting: Setting, channels: int, by_speaker: bool) -> Task:
    every = _cochlea("fsdd", channels, 8000.0, setting)
    if by_speaker:
        speaker = every.column("speaker")
        names = np.unique(speaker)
        out = [names[(seed + k) % len(names)] for k in range(2)]
        parts = [every.subset(speaker == name) for name in out]
        rest = every.subset(~np.isin(speaker, out))
        return Task(
            rest, parts[1], parts[0], config, "one speaker to test on, by seed, the next to choose on"
        )
    train, test = (
        every.subset(datasets.load("fsdd", part, root=setting.root, progress=False).ids)
        for part in ("train", "test")
    )
    train, valid = train.split(0.1, seed=seed)
    return Task(train, valid, test, config, "official test part, a tenth of train to choose on")


def _commands(config: Config, setting: Setting) -> Task:
    every = _cochlea("speechcommands", 140, 16000.0, setting)
    train, valid, test = (
        every.subset(datasets.load("speechcommands", part, root=setting.root, progress=False).ids)
        for part in ("train", "valid", "test")
    )
    return Task(train, valid, test, replace(config, classes=len(every.classes)), "80 / 10 / 10 by speaker")


def _heidelberg(name: str, config: Config, seed: int, setting: Setting) -> Task:
    train, test = (
        pooled(datasets.load(name, part, root=setting.root, progress=False), 5) for part in ("train", "test")
    )
    if name == "ssc":
        valid = pooled(datasets.load(name, "valid", root=setting.root, progress=False), 5)
        return Task(train, valid, test, config, "official parts")
    train, valid = train.split(0.1, seed=seed, by="speaker")
    return Task(
        train, valid, test, config, "official test part, about a tenth of train by speaker to choose on"
    )
