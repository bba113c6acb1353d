"""Loops over binary strings: Lempel-Ziv parsing."""

from __future__ import annotations

import numpy as np

from snnkit.kernels.sparse import jit


@jit
def lz76(bits, first, last, words):
    """words[r]: length of the exhaustive history of the string bits[r] (Lempel & Ziv 1976; Kaspar & Schuster 1987)."""
    n = bits.shape[1]
    for r in range(first, last):
        s = bits[r]
        count = np.int64(n > 0)
        start = 1  # of the word that is being read
        while start < n:
            longest = 0  # of its copies that begin earlier; they may run into it
            for earlier in range(start):
                length = 0
                while start + length < n and s[earlier + length] == s[start + length]:
                    length += 1
                if length > longest:
                    longest = length
                    if start + longest >= n:
                        break
            count += 1
            start += longest + 1
        words[r] = count
