"""e^{-x} of whole arrays, in a loop that compilers turn into vector instructions; math.exp is a call per number."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnkit.kernels.sparse import jit

FAR = 700.0  # e^-700 is 1e-304: beyond, no smaller
MAGIC = 6755399441055744.0  # 1.5·2^52: a number added to it has its rounded value in the lowest bits
PER_TWO = 1.4426950408889634  # 1/ln 2
HIGH, LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # ln 2 in two parts


@intrinsic
def _bits(typing_context, x):
    """The bits of a float64 as an int64."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _number(typing_context, x):
    """The float64 of these bits."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@jit
def decays(x, n, rate, out):
    """out[k] = e^{-x[k]·rate} for the first n, x·rate >= 0, to about an ulp: 2^m·e^r with |r| <= ln 2 / 2."""
    for k in range(n):
        y = -min(x[k] * rate, FAR)
        shifted = y * PER_TWO + MAGIC
        m = shifted - MAGIC
        r = (y - m * HIGH) - m * LOW
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        out[k] = p * _number((_bits(shifted) + np.int64(1023)) << np.int64(52))
