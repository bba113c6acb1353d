"""Naive twins, written as the definitions read: loops over events, channels and outputs."""

import numpy as np


def naive_event_linear(x, weight, bias=None):
    """y[r, o] = bias[o] + sum over the non-zero x[r, i] of x[r, i] * weight[o, i]."""
    y = np.zeros((len(x), len(weight)))
    for r in range(len(x)):
        for o in range(len(weight)):
            y[r, o] = 0.0 if bias is None else bias[o]
            for i in range(x.shape[1]):
                if x[r, i] != 0:
                    y[r, o] += x[r, i] * weight[o, i]
    return y


def naive_event_linear_weight(x, grad):
    """dW[o, i] = sum over rows of x[r, i] * grad[r, o]."""
    dw = np.zeros((grad.shape[1], x.shape[1]))
    for r in range(len(x)):
        for i in range(x.shape[1]):
            if x[r, i] != 0:
                for o in range(grad.shape[1]):
                    dw[o, i] += x[r, i] * grad[r, o]
    return dw


def naive_conv_synops(x, c_out, kernel, stride, padding, dilation, groups):
    """Every event visits every output neuron and asks whether it lies in that neuron's window. x: R C H W."""
    _, c_in, h, w = x.shape
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((h, w), kernel, stride, padding, dilation, strict=True)
    ]
    total = 0.0
    for r, c, y, z in zip(*np.nonzero(x), strict=True):
        for o in range(c_out):
            if o // (c_out // groups) != c // (c_in // groups):
                continue
            for oy in range(out[0]):
                for oz in range(out[1]):
                    dy, dz = y + padding[0] - oy * stride[0], z + padding[1] - oz * stride[1]
                    if _in_window(dy, kernel[0], dilation[0]) and _in_window(dz, kernel[1], dilation[1]):
                        total += abs(x[r, c, y, z])
    return total


def _in_window(offset, kernel, dilation):
    return offset >= 0 and offset % dilation == 0 and offset // dilation < kernel
