"""Routes to recognise places on: two recordings of the same way, which frames show the same place, and which are for choosing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from snnkit import datasets
from snnkit.systems.reproduction import Setting

Images = NDArray[np.float32]
NAMES = ("lens", "lens-example", "procedural")
SIDE, WINDOW = 28, 7  # pixels of procedural images, and of the patch normalisation
EXAMPLE_SIDE = 28  # to which 80x80 event counts are averaged
GAIN = 3.0  # from the root of a count to contrast
INPUTS = 784  # about so many inputs has a module


@dataclass(frozen=True)
class Route:
    """Frames of places passed once or more often to learn, and once again to recognise.

    `truth[p, q]` says that query q shows place p, `near` the same with the tolerance that the set is judged with. Settings are
    chosen with the queries of `calibration` only, figures are of the others.
    """

    name: str
    references: Images  # traversals, places, height, width
    queries: Images  # queries, height, width
    truth: NDArray[np.bool_]
    near: NDArray[np.bool_]
    calibration: NDArray[np.bool_]
    tolerance: int
    signed: bool  # whether a pixel is a contrast, with a half for none

    @property
    def places(self) -> int:
        return self.references.shape[1]


def load(setting: Setting) -> Route:
    """The route that the setting names; few places of it for `quick`."""
    name = setting.dataset or NAMES[0]
    if name == "procedural":
        route = procedural(24 if setting.quick else 100)
    else:
        route = _recorded(setting, name)
        route = _first(route, 40) if setting.quick else route
    return route


# -- event camera -----------------------------------------------------------------------------------------------------


def _recorded(setting: Setting, name: str) -> Route:
    """Frames of event counts; the square root makes the noise of a count the same at any rate (Bartlett 1936)."""
    collection = "brisbane" if name == "lens" else "example"
    reference, query = (
        datasets.load("lens", part, root=setting.root, collection=collection)
        for part in ("reference", "query")
    )
    truth = np.asarray(reference.extras["ground_truth"])
    frames = [np.sqrt(_smaller(np.asarray(ds.images[:, 0], np.float32))) for ds in (reference, query)]
    return Route(name, frames[0][None], frames[1], truth, widened(truth, 2), _early(truth), 2, signed=False)


def _early(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The queries that show the first places, about a fifth of all."""
    place = truth.argmax(0)
    return place <= np.quantile(place, 0.2)


def _smaller(frames: Images) -> Images:
    if frames.shape[1] <= EXAMPLE_SIDE:
        return frames
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(frames), EXAMPLE_SIDE)
    return pooled.numpy()


def widened(truth: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The truth with so many neighbouring places of the route on both sides accepted as well."""
    found = truth.copy()
    for k in range(1, by + 1):
        found[k:] |= truth[:-k]
        found[:-k] |= truth[k:]
    return found


def _first(route: Route, places: int) -> Route:
    """The beginning of a route: its first places, and the queries that show nothing else."""
    held = route.truth.argmax(0) < places
    held &= ~route.truth[places:].any(0)
    truth = route.truth[:places, held]
    references, near = route.references[:, :places], widened(truth, route.tolerance)
    queries = route.queries[held]
    return Route(route.name, references, queries, truth, near, _early(truth), route.tolerance, route.signed)


# -- procedural -------------------------------------------------------------------------------------------------------


def procedural(places: int, seed: int = 0) -> Route:
    """Synthetic: random textures as places, two traversals to learn and a changed one to recognise, patch-normalised.

    A query changes brightness by a gamma of 0.5 to 1.8 and contrast, moves by up to 2 pixels, is blurred, partly hidden by a
    rectangle and noisy; the second traversal to learn is changed about a third as much.
    """
    rng = np.random.default_rng([seed, 17])
    scenes = [_texture(rng) for _ in range(places)]
    passes = [[_seen(scene, rng, strength) for scene in scenes] for strength in (0.0, 0.3, 1.0)]
    images = np.stack([np.stack([patch_normalised(image) for image in one]) for one in passes])
    truth = np.eye(places, dtype=bool)
    return Route("procedural", images[:2], images[2], truth, truth, _early(truth), 0, signed=True)


def _texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """Sums of smoothed noise at two scales and a grating, in 0..1, with a border to move in."""
    side = SIDE + 8
    image = np.zeros((side, side))
    for scale, weight in ((rng.uniform(2.0, 3.0), 0.5), (rng.uniform(4.0, 6.0), 1.0)):
        smooth = ndimage.gaussian_filter(rng.normal(size=(side, side)), scale, mode="wrap")
        image += weight * smooth / smooth.std()
    angle, period, phase = rng.uniform(0, np.pi), rng.uniform(12, 28), rng.uniform(0, 2 * np.pi)
    y, x = np.indices((side, side))
    image += 0.7 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + phase)
    return (image - image.min()) / np.ptp(image)


def _seen(scene: NDArray[np.float64], rng: np.random.Generator, strength: float) -> NDArray[np.float64]:
    """A scene at another time of day, from a slightly different place; `strength` 0 shows it as it is."""
    reach = round(2 * strength)
    shift = rng.integers(-reach, reach + 1, 2) if reach else np.zeros(2, int)
    top, left = 4 + shift
    image = scene[top : top + SIDE, left : left + SIDE]
    image = image ** np.exp(strength * rng.uniform(np.log(0.5), np.log(1.8)))
    image = 0.5 + (image - 0.5) * (1 - strength * rng.uniform(0, 0.5))
    image = ndimage.gaussian_filter(image, strength * rng.uniform(0.2, 0.8)) if strength else image.copy()
    if strength == 1.0:
        height, width = rng.integers(6, 13, 2)
        top, left = rng.integers(0, SIDE - height), rng.integers(0, SIDE - width)
        image[top : top + height, left : left + width] = rng.uniform()
    return np.clip(image + strength * 0.06 * rng.normal(size=image.shape), 0, 1)


def patch_normalised(image: NDArray[np.float64], window: int = WINDOW) -> Images:
    """Local contrast: pixels less the mean of their window, over its standard deviation, clipped to ±1 and mapped to 0..1."""
    mean = ndimage.uniform_filter(image, window, mode="nearest")
    square = ndimage.uniform_filter(image * image, window, mode="nearest")
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    contrast = (image - mean) / np.maximum(deviation, 1e-3)
    return ((np.clip(contrast, -1, 1) + 1) / 2).astype(np.float32)


# -- what the networks are shown ----------------------------------------------------------------------------------------


def contrast(route: Route) -> tuple[Images, Images]:
    """Images with a half for the usual grey, in 0..1: references (traversals, places, h, w) and queries (queries, h, w).

    Procedural images are so already. Of the others every pixel is compared with its own mean over the references, as the
    pixels of an event camera are not alike.
    """
    if route.signed:
        return route.references, route.queries
    middle = route.references.mean((0, 1))
    coded = [np.clip(0.5 + 0.5 * GAIN * (x - middle), 0, 1) for x in (route.references, route.queries)]
    return coded[0].astype(np.float32), coded[1].astype(np.float32)


def rates(images: Images) -> Images:
    """Images with a half for grey (..., h, w) as rates of about 784 inputs (..., inputs): on above the half, off below.

    The pixels of small images feed several inputs each.
    """
    signed = 2 * images.reshape(*images.shape[:-2], -1) - 1
    both = np.concatenate([np.clip(signed, 0, 1), np.clip(-signed, 0, 1)], -1)
    return np.repeat(both, max(1, INPUTS // both.shape[-1]), -1)


def fields(weights: Images, shape: tuple[int, int]) -> Images:
    """Weights (inputs, n) of on less those of off inputs as images, (n, height, width)."""
    halves = weights.T.reshape(weights.shape[1], 2, *shape, -1).mean(-1)
    return halves[:, 0] - halves[:, 1]
