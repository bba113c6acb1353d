"""ANN to SNN: the converted network and the function that makes it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from snnkit.conversion.folding import ConversionError, Part, chain, run_chain
from snnkit.conversion.thresholds import choose_thresholds
from snnkit.layers import AvgPool2d, Conv2d, Flatten, Linear, Sequential
from snnkit.neurons import IF

Method = Literal["qcfs", "percentile"]
METHODS = ("qcfs", "percentile")


@dataclass(frozen=True)
class Converted:
    """A spiking network made from an ANN.

    The image is fed as an analog current in every step. Hidden neurons are integrate-and-fire with threshold
    1, reset by subtraction and starting potential ½; the ANN's thresholds θ are absorbed in the weights, so
    spikes are 0 or 1.
    The last layer does not spike: its output, averaged over T steps, are the logits.

    Attributes:
        net: the network, T B *N -> T B C; trace it, or write it with `snnkit.to_nir`.
        thresholds: θ of each activation, by its path in the ANN, in units of the ANN's activations.
        method: how the thresholds were chosen.
        timesteps: T used by a plain call.
        input_shape: *N of one image.
    """

    net: Sequential
    thresholds: dict[str, float]
    method: str
    timesteps: int
    input_shape: tuple[int, ...]

    def encode(self, images: Tensor, timesteps: int | None = None) -> Tensor:
        """The input of `net`: the same images B *N in each of T steps, as a T B *N view."""
        if tuple(images.shape[1:]) != self.input_shape:
            raise ConversionError(
                f"expected images of shape B {' '.join(map(str, self.input_shape))}, as for calibration; "
                f"got {tuple(images.shape)}"
            )
        return images.expand(timesteps or self.timesteps, *images.shape)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits B C after `timesteps` steps, without gradients."""
        return self.logits_over_time(images, [self.timesteps])[self.timesteps]

    def logits_over_time(
        self, images: Tensor, timesteps: Iterable[int] = (1, 2, 4, 8, 16, 32), *, batch_size: int = 256
    ) -> dict[int, Tensor]:
        """Logits B C at several T from one run: the means of the output over the first T steps."""
        wanted = sorted({int(t) for t in timesteps})
        if not wanted or wanted[0] < 1:
            raise ConversionError(f"timesteps must be whole numbers of at least 1; got {list(timesteps)}")
        found: dict[int, list[Tensor]] = {t: [] for t in wanted}
        with torch.no_grad():
            for part in images.split(batch_size):
                summed = self.net(self.encode(part, wanted[-1])).cumsum(0)
                for t in wanted:
                    found[t].append(summed[t - 1] / t)
        return {t: torch.cat(logits) for t, logits in found.items()}


def convert(
    ann: nn.Module,
    calibration_batch: Tensor,
    *,
    method: Method = "qcfs",
    timesteps: int = 8,
    percentile: float = 99.9,
) -> Converted:
    """Turn a trained ANN into a spiking network; the ANN itself is not changed.

    Layer l of the ANN, a_l = act(W_l a_{l-1} + b_l) with threshold θ_l, becomes

        u_l[t] = v_l[t-1] + (θ_{l-1}/θ_l) W_l s_{l-1}[t] + b_l/θ_l
        s_l[t] = [u_l[t] >= 1],   v_l[t] = u_l[t] - s_l[t],   v_l[0] = ½

    so that θ_l · mean_t s_l approaches a_l. The last layer gives mean_t (θ_{L-1} W_L s_{L-1}[t] + b_L).

    Args:
        ann: nn.Sequential (nested is fine) of Conv2d, Linear, BatchNorm1d/2d (folded), ReLU or `QCFS`,
            AvgPool2d, Flatten, Dropout (dropped); it must end in logits.
        calibration_batch: images B *N, from the training set, never from the test set.
        method: "qcfs" takes the thresholds that `QCFS` activations learned, and for plain ReLU those with the
            least quantisation error at T = `timesteps`; "percentile" takes a percentile of the activations.
        timesteps: T of a plain call.
        percentile: for method "percentile", 0..100.

    Raises:
        ConversionError: a layer that cannot be converted (all of them named, with what to use instead), or an
            argument out of range.
    """
    if method not in METHODS:
        raise ConversionError(f"method must be 'qcfs' or 'percentile'; got {method!r}")
    if timesteps < 1 or timesteps != int(timesteps):
        raise ConversionError(f"timesteps must be a whole number of at least 1; got {timesteps}")
    if not 0 < percentile <= 100:
        raise ConversionError(f"percentile must lie in 0..100; got {percentile} (99.9 is usual)")
    parts = chain(ann)
    _check_batch(parts, calibration_batch)
    thresholds = choose_thresholds(
        parts, calibration_batch, method=method, percentile=percentile, levels=int(timesteps)
    )
    net = _spiking(parts, thresholds)
    return Converted(net, thresholds, method, int(timesteps), tuple(calibration_batch.shape[1:]))


def _check_batch(parts: list[Part], batch: Any) -> None:
    if not isinstance(batch, Tensor) or batch.dim() < 2 or len(batch) == 0:
        what = f"shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
        raise ConversionError(
            f"calibration_batch must be a tensor of images B *N with at least one image; got {what}"
        )
    if not torch.isfinite(batch).all():
        raise ConversionError("calibration_batch holds NaN or infinite values; clean the images first")
    try:
        with torch.no_grad():
            run_chain(parts, batch[:1])
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise ConversionError(
            f"the network cannot run on calibration_batch of shape {tuple(batch.shape)}: {first_line}"
        ) from None


@torch.no_grad()
def _spiking(parts: list[Part], thresholds: dict[str, float]) -> Sequential:
    """Absorb the thresholds in the weights and put neurons in the place of activations.

    Between two activations the chain is linear: the first weights take up the θ of the spikes that come in,
    the last weights and every bias after them are measured in the θ of the neurons they drive.
    """
    modules: list[nn.Module] = []
    incoming, pending = 1.0, list[Part]()
    for part in [*parts, None]:
        if part is not None and not part.is_activation:
            pending.append(part)
            continue
        outgoing = 1.0 if part is None else thresholds[part.path]
        modules += _scaled(pending, incoming, outgoing)
        if part is not None:
            modules.append(IF(threshold=1.0, reset="subtract", initial_v=0.5))
        incoming, pending = outgoing, []
    return Sequential(*modules).eval()


def _scaled(linear_chain: list[Part], incoming: float, outgoing: float) -> list[nn.Module]:
    synapses = [part for part in linear_chain if part.is_synapse]
    modules = []
    for part in linear_chain:
        module: Any = copy.deepcopy(part.module)
        if part is synapses[0]:
            module.weight.mul_(incoming)
        if part is synapses[-1]:
            module.weight.div_(outgoing)
            if module.bias is not None:
                module.bias.div_(outgoing)
        modules.append(_layer(module))
    return modules


def _layer(module: Any) -> nn.Module:
    """The snnkit layer of a torch one, with its weights."""
    if isinstance(module, nn.Flatten):
        return Flatten()
    if isinstance(module, nn.AvgPool2d):
        return AvgPool2d(module.kernel_size, module.stride)
    bias, unused = (
        module.bias is not None,
        torch.Generator(),
    )  # the first weights must not draw from torch's own
    layer: Any
    if isinstance(module, nn.Linear):
        layer = Linear(module.in_features, module.out_features, bias=bias, generator=unused)
    else:
        layer = Conv2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
            bias=bias,
            generator=unused,
        )
    layer.to(module.weight)
    layer.weight.copy_(module.weight)
    if bias:
        layer.bias.copy_(module.bias)
    return layer
