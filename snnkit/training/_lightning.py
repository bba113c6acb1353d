"""The Lightning side of `fit`: imported only when training starts."""

from __future__ import annotations

import logging
import math
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import lightning.pytorch as lightning
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers import clamp_after, delay_parameters
from snnkit.layers.spike_rules import check_gradients
from snnkit.training.evaluation import device_of
from snnkit.training.loop import Epoch, Recorder, Settings
from snnkit.training.rates import spikes_of


def run(net: nn.Module, train, val, settings: Settings, recorder: Recorder) -> None:
    """Train; results go to `recorder`."""
    check_gradients(net)
    device = device_of(net)
    with _quiet(), _interruptible():
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            max_epochs=settings.epochs,
            gradient_clip_val=settings.clip,
            callbacks=[_EveryEpoch(settings, recorder)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(_Module(net, settings), _Loader(train), None if val is None else _Loader(val))


class _Loader:
    """Any loader as one loader: Lightning would take a list of batches for a list of loaders."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


@dataclass
class _Tally:
    """Running sums over an epoch; sums of floats in a fixed order, so equal seeds give equal logs."""

    loss: float = 0.0
    right: int = 0
    n: int = 0

    def add(self, loss: float, scores: Tensor, labels: Tensor) -> None:
        self.loss += loss * len(labels)
        self.right += int((scores.argmax(1) == labels).sum())
        self.n += len(labels)


class _Module(lightning.LightningModule):
    def __init__(self, net: nn.Module, settings: Settings):
        super().__init__()
        self.net, self.settings = net, settings
        self.train_tally, self.val_tally = _Tally(), _Tally()

    def training_step(self, batch, index: int) -> Tensor:
        return self._step(batch, self.train_tally)

    def validation_step(self, batch, index: int) -> None:
        self._step(batch, self.val_tally)

    def _step(self, batch, tally: _Tally) -> Tensor:
        (x, labels), rates = batch, self.settings.rates
        if rates is None or not self.training:
            output = self.net(x)
            loss = self.settings.loss(output, labels)
        else:
            with spikes_of(self.net) as spikes:
                output = self.net(x)
            loss = self.settings.loss(output, labels) + rates.penalty(spikes)
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss became {loss.item()} in epoch {self.current_epoch}; try a smaller lr "
                f"(now {self.settings.lr:g}) and look for NaN or very large values in the input"
            )
        tally.add(loss.item(), self.settings.scores(output.detach()), labels)
        return loss

    def configure_optimizers(self):
        groups = delay_parameters(self.net, self.settings.lr, self.settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=self.settings.lr)
        clamp_after(optimizer, self.net)
        total = int(self.trainer.estimated_stepping_batches)
        rise = int(self.settings.warmup * total)

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / (rise + 1)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _EveryEpoch(lightning.Callback):
    """Log, keep the best weights, stop early, move the bar."""

    def __init__(self, settings: Settings, recorder: Recorder):
        self.settings, self.recorder = settings, recorder
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not settings.progress,
        )
        self.start = 0.0

    def on_fit_start(self, trainer, module) -> None:
        self.bar.start()
        batches = int(trainer.estimated_stepping_batches)
        self.task = self.bar.add_task(self.settings.label, total=batches, figures="")

    def on_train_epoch_start(self, trainer, module) -> None:
        if self.settings.before_epoch is not None:
            self.settings.before_epoch(trainer.current_epoch)
        module.train_tally, module.val_tally = _Tally(), _Tally()
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        self.bar.advance(self.task)

    def on_train_epoch_end(self, trainer, module) -> None:  # Lightning calls this after validation
        train, val = module.train_tally, module.val_tally
        epoch = Epoch(
            epoch=trainer.current_epoch,
            loss=train.loss / train.n,
            accuracy=train.right / train.n,
            val_loss=val.loss / val.n if val.n else None,
            val_accuracy=val.right / val.n if val.n else None,
            lr=trainer.optimizers[0].param_groups[0]["lr"],
            seconds=time.perf_counter() - self.start,
        )
        self.recorder.add(epoch)
        shown = epoch.accuracy if epoch.val_accuracy is None else epoch.val_accuracy
        self.bar.update(self.task, figures=f"loss {epoch.loss:.3f} accuracy {shown:.3f}")
        patience = self.settings.patience
        if patience is not None and self.recorder.epochs_since_best >= patience:
            trainer.should_stop = True

    def on_fit_end(self, trainer, module) -> None:
        self.bar.stop()

    def on_exception(self, trainer, module, exception) -> None:
        self.bar.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """No advertisements and no advice about workers and logging steps from Lightning; other warnings pass."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl+C stays a KeyboardInterrupt: Lightning would turn it into exit code 1 and ignore the next one."""
    try:
        before = signal.getsignal(signal.SIGINT)
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if before is not None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)
