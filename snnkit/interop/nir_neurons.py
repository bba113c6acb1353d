"""Neurons as NIR nodes, with what NIR leaves open in the metadata.

NIR describes neurons in continuous time and says nothing of the time step, the kind of reset or ties at the threshold. The
fields of a node are therefore what another library turns into our step by Euler's rule with our dt,

    LIF:      τ = dt / (1 - a),  r = τ/dt        so that  v + dt/τ·(r·x - v) = a·v + x
    IF:       r = 1/dt                           CubaLIF: the same for both constants, w_in = τ_syn/dt

and the metadata hold what snnkit needs to run the very same network again: `snnkit_kind`, `dt` [s], `reset` ("subtract",
"zero", "none"), `compare` (">=" or ">"), `decay` and `decay_syn` (exact factor per step), `initial_v`, `scale_input`, `solver`
(where it is not "exact"), the time constants, and the settings of training (`surrogate`, `detach_reset`, `learn`).
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons import IF, LIF, CubaLIF, LeakyIntegrator, Neuron, forms

TIME_CONSTANTS = {LIF: ("tau",), LeakyIntegrator: ("tau",), CubaLIF: ("tau_syn", "tau_mem"), IF: ()}


def neuron_node(name: str, m: Neuron, shape: tuple[int, ...]) -> nir.NIRNode:
    """The node of neurons of this shape."""
    meta = _metadata(m)

    def full(value: Any) -> np.ndarray:
        try:
            return np.broadcast_to(np.asarray(value, np.float32), shape).copy()
        except ValueError:
            raise UserError(
                f"layer {name}: a parameter of shape {np.shape(value)} does not fit neurons of shape {shape}"
            ) from None

    dt, zero = m.dt, full(0.0)
    if isinstance(m, IF):
        r = 1.0 if dt is None else 1.0 / dt
        return nir.IF(r=full(r), v_threshold=full(array(m.threshold)), v_reset=zero, metadata=meta)
    assert dt is not None
    gain = 1.0 / (1.0 - np.asarray(meta["decay"]))  # of the Euler form: dt/τ = 1 - decay
    membrane = {"r": full(1.0 if m.scale_input else gain), "v_leak": zero, "metadata": meta}
    if isinstance(m, LeakyIntegrator):
        return nir.LI(tau=full(dt * gain), **membrane)
    fire = {"v_threshold": full(array(m.threshold)), "v_reset": zero}
    if isinstance(m, LIF):
        return nir.LIF(tau=full(dt * gain), **membrane, **fire)
    synapse = 1.0 / (1.0 - np.asarray(meta["decay_syn"]))
    w_in = full(1.0 if m.scale_input else synapse)
    return nir.CubaLIF(tau_syn=full(dt * synapse), tau_mem=full(dt * gain), w_in=w_in, **membrane, **fire)


def _metadata(m: Neuron) -> dict[str, Any]:
    """Everything a step depends on, in double precision; scalars where all neurons are alike."""
    kind = next(k for k in TIME_CONSTANTS if isinstance(m, k))
    meta: dict[str, Any] = {"snnkit_kind": kind.__name__}
    learn = m._learn
    if m.dt is not None:
        meta["dt"] = m.dt
    meta["initial_v"] = _plain(m.initial_v)
    for key in TIME_CONSTANTS[kind]:
        factor = "decay_syn" if key == "tau_syn" else "decay"
        if type(m) is not kind:  # a relative, which holds its time constants in its own way
            meta[factor] = _plain(_factor(m, factor))
            learn = tuple(word for word in learn if word != key)
            continue
        tau = getattr(m, key)
        meta[factor] = _plain(m.decay(tau))
        meta[key] = _plain(tau)
        if f"log_{key}" in dict(m.named_parameters(recurse=False)):
            meta[f"log_{key}"] = _learned(getattr(m, f"log_{key}"))
    if not isinstance(m, IF):
        meta["scale_input"] = m.scale_input
    if m.solver != "exact":
        meta["solver"] = m.solver
    if isinstance(m, LeakyIntegrator):
        return meta | {"learn": ",".join(learn)}
    if getattr(m, "gradient", "surrogate") != "surrogate":
        meta |= {"gradient": m.gradient, "slope_floor": m.slope_floor}
    return meta | {
        "threshold": _learned(m.threshold) if "threshold" in m._learn else _plain(m.threshold),
        "reset": m.reset,
        "compare": m.compare,
        "detach_reset": m.detach_reset,
        "learn": ",".join(learn),
        "surrogate": type(m.surrogate).__name__,
        "surrogate_fields": np.array(m.surrogate.hyper),
    }


def _factor(m: Any, name: str) -> Tensor:
    """What is left of a membrane after one step, from the constant of its form."""
    constant = m.constants()[name.replace("decay", forms.SOLVERS[m.solver])].double()
    if m.solver == "exact":
        return constant
    return 1.0 - (constant if m.solver == "euler" else 1.0 / constant)


def array(x: Any) -> np.ndarray:
    """A tensor's numbers, in its own precision."""
    return x.detach().cpu().contiguous().numpy()


def _learned(x: Any) -> Any:
    """A parameter in its own precision; HDF5 compresses no scalar arrays, so those become numpy scalars."""
    return array(x)[()] if x.dim() == 0 else array(x)


def _plain(x: Any) -> Any:
    """A float where all entries agree, else an array, in double precision."""
    values = x.detach().double().cpu().numpy()
    return float(values.flat[0]) if values.size and (values == values.flat[0]).all() else values
