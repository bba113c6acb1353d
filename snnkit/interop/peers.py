"""Networks of other libraries as ours: what they have in common, the layers of torch in a Sequential."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, Sequential
from snnkit.neurons.surrogate import Surrogate

Make = Callable[[Any, float, Surrogate | None], nn.Module]


def translate(
    module: nn.Module, library: str, neurons: Mapping[str, Make], dt: float, surrogate: Surrogate | None
) -> Sequential:
    """The network with every module replaced by ours; names are kept, weights copied.

    Raises:
        UserError: naming every module that has no counterpart.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"from_{library} takes a network (a torch module), got {type(module).__name__}")
    problems: list[str] = []

    def visit(path: str, m: nn.Module) -> nn.Module:
        kind, home = type(m).__name__, type(m).__module__.split(".")[0]
        where = f"layer {path} ({kind})" if path else kind
        try:
            if isinstance(m, nn.Sequential) and home in ("torch", library):
                parts = OrderedDict((n, visit(f"{path}.{n}".strip("."), c)) for n, c in m.named_children())
                return Sequential(parts)
            if home == library and kind == "Lift":  # of Norse: the same module at every step, as ours do
                return visit(path, m.lifted_module)  # type: ignore[arg-type]
            if home == library and kind in neurons:
                return neurons[kind](m, dt, surrogate)
            if home in ("torch", library) and kind in LAYERS:
                return LAYERS[kind](m)
            if home == "torch" and kind in ELEMENTWISE:
                return deepcopy(m)
        except UserError as error:
            problems.append(f"{where}: {error}")
            return nn.Identity()
        hint = "; pass its nn.Sequential" if not path and any(True for _ in m.children()) else ""
        problems.append(f"{where} has no counterpart here{hint}")
        return nn.Identity()

    net = visit("", module)
    if problems:
        known = ", ".join([*neurons, *LAYERS])
        raise UserError(f"from_{library}: {'; '.join(problems)}. It reads {known}")
    net = net if isinstance(net, Sequential) else Sequential(net)
    return net.train(module.training)


def check(wrong: Mapping[str, Any]) -> None:
    """Refuse a module for every entry that holds."""
    said = [what for what, holds in wrong.items() if holds]
    if said:
        raise UserError(f"{' and '.join(said)} is not supported")


def number(x: Any) -> Any:
    """A parameter of theirs, a number or tensor, in double precision."""
    if isinstance(x, Tensor):
        x = x.detach().double()
        return float(x) if x.numel() == 1 else x.clone()
    return float(x)


def everywhere(x: Any, value: float) -> bool:
    """Whether a parameter has one value for all neurons."""
    return bool((torch.as_tensor(x) == value).all())


def hard_reset(value: Any) -> dict[str, Any]:
    """Our options for a reset to a value, or for none given the subtraction of the threshold."""
    if value is None:
        return {"reset": "subtract"}
    return {"reset": "zero"} if everywhere(value, 0.0) else {"reset": "value", "v_reset": number(value)}


# -- layers of torch ------------------------------------------------------------------------------------------------


@torch.no_grad()
def _filled(ours: Any, theirs: Any) -> Any:
    ours.to(theirs.weight.dtype)
    ours.weight.copy_(theirs.weight)
    if theirs.bias is not None:
        ours.bias.copy_(theirs.bias)
    return ours


def _linear(m: nn.Linear) -> Linear:
    return _filled(Linear(m.in_features, m.out_features, bias=m.bias is not None), m)


def _conv(m: nn.Conv2d) -> Conv2d:
    check({f"padding_mode={m.padding_mode!r}": m.padding_mode != "zeros"})
    options: Any = {"dilation": m.dilation, "groups": m.groups}
    return _filled(
        Conv2d(
            m.in_channels,
            m.out_channels,
            m.kernel_size,  # type: ignore[arg-type]
            m.stride,  # type: ignore[arg-type]
            m.padding,  # type: ignore[arg-type]
            bias=m.bias is not None,
            **options,
        ),
        m,
    )


def _pool(m: nn.AvgPool2d) -> AvgPool2d:
    check(
        {
            "ceil_mode": m.ceil_mode,
            "count_include_pad=False": m.padding not in (0, (0, 0)) and not m.count_include_pad,
            "divisor_override": m.divisor_override,
        }
    )
    return AvgPool2d(m.kernel_size, m.stride, m.padding)


def _flatten(m: nn.Flatten) -> Flatten:
    check({f"start_dim={m.start_dim}, end_dim={m.end_dim}": m.start_dim not in (1, 2) or m.end_dim != -1})
    return Flatten()


def _norm(m: Any) -> BatchNorm:
    check(
        {
            "momentum=None": m.momentum is None,
            "track_running_stats=False": m.running_mean is None,
        }
    )
    ours = BatchNorm(m.num_features, eps=m.eps, momentum=m.momentum, affine=m.affine)
    ours.load_state_dict(m.state_dict())
    return ours


LAYERS: dict[str, Callable[[Any], nn.Module]] = {
    "Linear": _linear,
    "Conv2d": _conv,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Dropout": lambda m: Dropout(m.p),
    "BatchNorm1d": _norm,
    "BatchNorm2d": _norm,
}
ELEMENTWISE = ("Identity", "ReLU", "LeakyReLU", "Sigmoid", "Tanh")
