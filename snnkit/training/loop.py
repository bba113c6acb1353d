"""Surrogate-gradient training: one call, on Lightning, repeatable, with nothing written unless asked."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.files import prepare_folder, write_text
from snnkit.training.checkpoint import save_weights
from snnkit.training.evaluation import device_of
from snnkit.training.losses import class_scores, rate_cross_entropy
from snnkit.training.rates import RateBounds

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """One line of the log. The validation columns are None when there is no validation set."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float


@dataclass
class FitResult:
    """How a training went.

    Attributes:
        history: one `Epoch` per epoch, in order.
        best_epoch: the epoch whose weights the network now holds: highest validation accuracy, ties to the
            lower validation loss; without a validation set the last one.
        best_accuracy: validation accuracy of that epoch, None without a validation set.
        seconds: wall time.
        weights: the safetensors file, None when nothing was written.
    """

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_accuracy: float | None = None
    seconds: float = 0.0
    weights: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {**asdict(self), "weights": None if self.weights is None else str(self.weights)}


@dataclass(frozen=True)
class Settings:
    """What the Lightning side needs to know; made by `fit`."""

    loss: Loss
    scores: Callable[[Tensor], Tensor]
    epochs: int
    lr: float
    weight_decay: float
    warmup: float
    clip: float | None
    rates: RateBounds | None
    patience: int | None
    progress: bool
    label: str
    before_epoch: Callable[[int], Any] | None


def fit(
    net: nn.Module,
    train,
    val=None,
    *,
    loss: Loss = rate_cross_entropy,
    scores: Callable[[Tensor], Tensor] = class_scores,
    epochs: int,
    lr: float = 2e-3,
    weight_decay: float = 1e-4,
    warmup: float = 0.05,
    clip: float | None = 1.0,
    rates: RateBounds | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    patience: int | None = None,
    progress: bool = True,
    label: str = "training",
    before_epoch: Callable[[int], Any] | None = None,
) -> FitResult:
    """Train `net` in place with AdamW and leave it in evaluation mode with its best weights.

    The learning rate rises linearly over the first `warmup` share of all steps and then falls along a half
    cosine: lr_k = lr · ½(1 + cos(π k/K)). Weight decay spares vectors and scalars (biases, norms, time
    constants). Delays learn at 100 times the rate, without decay, and are clamped to their range after each step.

    The same seed gives the same result on the same machine and number of threads (torch's sums depend on
    both): the seed covers dropout and loaders that shuffle with torch's global generator; the first weights
    are the caller's, so build the net from a seed too. The global generator is put back afterwards.

    Args:
        net: the network; training runs on the device its parameters are on.
        train, val: loaders (anything with a length) of (input, labels). Input is whatever `net` takes.
        loss: loss(output, labels) -> scalar. Default: `rate_cross_entropy` of output spikes T B C.
        scores: output -> B C, for accuracy. Default: mean over time.
        epochs: passes over `train`.
        lr: peak learning rate.
        weight_decay: AdamW's decay of weight matrices and kernels.
        warmup: share of the steps with a rising learning rate, 0..1.
        clip: largest gradient norm; None for no clipping.
        rates: bounds on the firing rates of all spiking layers, see `RateBounds`; None for no bounds.
        seed: see above.
        out: folder for weights.safetensors, weights.json and history.csv, kept up to date after each epoch.
            None writes nothing at all.
        patience: stop after this many epochs without a better validation accuracy or, at equal accuracy,
            loss.
        progress: show a progress bar on stderr.
        label: words before the bar.
        before_epoch: called with the number of each epoch, from 0, before it begins, such as
            `partial(DelayWidth(epochs).apply, net)` for Gaussian delays that become narrow.

    Raises:
        UserError: Lightning is not installed, `out` cannot be written, an argument makes no sense, or the
            loss became NaN or infinite (with what to try).
    """
    _check(net, train, val, epochs, lr, warmup, patience)
    run = _lightning_run()
    folder = None if out is None else prepare_folder(out)
    settings = Settings(
        loss, scores, epochs, lr, weight_decay, warmup, clip, rates, patience, progress, label, before_epoch
    )
    recorder = Recorder(net, folder, seed)
    device, start = device_of(net), time.perf_counter()
    if hasattr(train, "set_epoch"):  # it counts its passes, and would go on from an earlier fit
        train.set_epoch(0)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        run(net, train, val, settings, recorder)
    net.to(device)
    recorder.restore_best()
    net.eval()
    recorder.result.seconds = time.perf_counter() - start
    return recorder.result


class Recorder:
    """Keeps the history and the best weights, in memory and, if there is a folder, on disk."""

    def __init__(self, net: nn.Module, folder: Path | None, seed: int):
        self.net, self.folder, self.seed = net, folder, seed
        self.result = FitResult()
        self._best_key: tuple[float, float] | None = None
        self._best_state: dict[str, Tensor] = {}

    @property
    def epochs_since_best(self) -> int:
        return len(self.result.history) - 1 - self.result.best_epoch

    def add(self, epoch: Epoch) -> None:
        self.result.history.append(epoch)
        if epoch.val_accuracy is None or epoch.val_loss is None:
            key = (float(epoch.epoch), 0.0)  # no validation: the latest is the best we know
        else:
            key = (epoch.val_accuracy, -epoch.val_loss)
        if self._best_key is None or key > self._best_key:
            self._best_key = key
            self.result.best_epoch, self.result.best_accuracy = epoch.epoch, epoch.val_accuracy
            self._best_state = {name: t.detach().clone() for name, t in self.net.state_dict().items()}
            self._save(epoch)
        if self.folder is not None:
            write_text(self.folder / "history.csv", _csv(self.result.history))

    def restore_best(self) -> None:
        if self._best_state:
            self.net.load_state_dict(self._best_state)

    def _save(self, epoch: Epoch) -> None:
        if self.folder is not None:
            meta = {"epoch": epoch.epoch, "val_accuracy": epoch.val_accuracy, "seed": self.seed}
            self.result.weights = save_weights(self.net, self.folder / "weights.safetensors", meta=meta)


def _csv(history: list[Epoch]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Epoch.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in asdict(row).items()} for row in history)
    return text.getvalue()


def _check(net, train, val, epochs, lr, warmup, patience) -> None:
    if epochs < 1:
        raise UserError(f"epochs must be at least 1; got {epochs}")
    if not (lr > 0 and math.isfinite(lr)):
        raise UserError(f"lr must be a positive number, such as 2e-3; got {lr}")
    if not 0 <= warmup < 1:
        raise UserError(f"warmup is a share of the training between 0 and 1; got {warmup}")
    if patience is not None and (patience < 1 or val is None):
        raise UserError(f"patience={patience} needs a validation set (val=...) and at least 1 epoch")
    if not any(p.requires_grad for p in net.parameters()):
        raise UserError("the network has no trainable parameter; add a Linear or Conv2d layer")
    for name, loader in (("train", train), ("val", val)):
        if loader is not None and (not hasattr(loader, "__len__") or len(loader) == 0):
            raise UserError(
                f"{name} must be a loader with a length and at least one batch; got {type(loader).__name__}"
            )


def _lightning_run() -> Callable[..., None]:
    """Lightning takes seconds to import and is an extra: it is met only here."""
    try:
        from snnkit.training import _lightning
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in (
            "lightning",
            "torchmetrics",
            "lightning_utilities",
        ):
            raise
        raise UserError(
            "training needs Lightning, which is not installed: pip install 'snnkit[train]'"
        ) from None
    return _lightning.run
