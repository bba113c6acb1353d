"""Lempel-Ziv complexity of spike trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError
from snnkit.kernels.complexity import lz76
from snnkit.kernels.sparse import run_pieces


def lempel_ziv_words(trains: ArrayLike) -> NDArray[np.int64]:
    """Number of words in the exhaustive history of binary strings (LZ76; Lempel & Ziv 1976, IEEE Trans Inf Theory 22:75).

    A string is read from left to right; a word ends with the first symbol that keeps it from being a copy of something
    that began earlier (copies may overlap the word). The last word may be such a copy.

    Args:
        trains: zeros and ones, (..., n).

    Returns:
        One count per string, (...).

    >>> int(lempel_ziv_words([0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1]))
    6
    """
    x = np.asarray(trains)
    if x.ndim < 1 or not x.shape[-1] or not np.isin(x, (0, 1)).all():
        raise UserError(
            f"expected spike trains (..., n) of zeros and ones, n at least 1; counts become them by (x > 0); got shape {x.shape}"
        )
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]), dtype=np.uint8)
    words = np.empty(len(rows), np.int64)
    run_pieces(np.arange(len(rows) + 1) * x.shape[-1], 100, lambda a, b: lz76(rows, a, b, words))
    return words.reshape(x.shape[:-1])


def lempel_ziv_complexity(trains: ArrayLike) -> NDArray[np.float64]:
    """Words in units of what a fair coin has, c log2(n) / n: about 1 for it, near 0 for a periodic train.

    Approaches the entropy rate in bits per bin from above; below n = 100 too coarse to be of use.

    Args:
        trains: zeros and ones, (..., n) with n at least 2.
    """
    n = np.asarray(trains).shape[-1]
    if n < 2:
        raise UserError(f"the complexity of {n} bins is not defined; give at least 2, better 500")
    return lempel_ziv_words(trains) * np.log2(n) / n
