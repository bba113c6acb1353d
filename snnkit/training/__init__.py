"""Training: losses, the training loop, evaluation and weights on disk."""

from snnkit.training.checkpoint import CheckpointError, load_weights, save_weights
from snnkit.training.evaluation import Evaluation, evaluate, predict
from snnkit.training.loop import Epoch, FitResult, fit
from snnkit.training.losses import (
    class_scores,
    cross_entropy,
    membrane_cross_entropy,
    membrane_scores,
    rate_cross_entropy,
    rate_penalty,
    rate_scores,
)

__all__ = [
    "fit",
    "FitResult",
    "Epoch",
    "evaluate",
    "predict",
    "Evaluation",
    "rate_cross_entropy",
    "membrane_cross_entropy",
    "cross_entropy",
    "rate_scores",
    "membrane_scores",
    "class_scores",
    "rate_penalty",
    "save_weights",
    "load_weights",
    "CheckpointError",
]
