"""Operations inside a forward pass that are no modules, such as the sum at the end of a block.

An operation is named by the module whose forward calls it: "layer1.0:add", and "layer1.0:add_1" for
the second sum in that code. Operations in a loop are one layer, with a call for each round.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SEPARATOR = ":"
"""Between the name of a module and that of an operation; the network itself is `ROOT`."""

ROOT = "forward"

_TORCH = str(Path(torch.__file__).parent)
_PASSED = {
    f"{_TORCH}/{file}"
    for file in ("overrides.py", "functional.py", "_tensor.py", "nn/functional.py")
}
"""Files of torch through which the code of a forward pass calls an operation."""

_CHECKERS = (__name__, "jaxtyping", "beartype")
"""Modules whose frames lie in between, where types are checked at run time (in tests)."""


def unheard() -> AbstractContextManager[None]:
    """Return a block whose operations are not those of the network."""
    return torch._C.DisableTorchFunction()


def is_operation(layer: str) -> bool:
    """Return whether the name of a layer is that of an operation."""
    return SEPARATOR in layer


class Operations(TorchFunctionMode):
    """Within the block, calls `heard` with the name and the output of each operation.

    Operations inside torch's own modules are left out, as are views of other tensors.

    Parameters
    ----------
    module
        Network.
    heard
        Called with (name, output) after each operation.
    """

    def __init__(self, module: nn.Module, heard: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self.heard = heard
        self.modules = {id(each): name or ROOT for name, each in module.named_modules()}
        self.named: dict[tuple[str, CodeType, int], str] = {}
        self.counts: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation."""
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and not output._is_view():
            name = self._name(sys._getframe(1), getattr(func, "__name__", ""))
            if name:
                self.heard(name, output)
        return output

    def _name(self, frame: FrameType | None, function: str) -> str:
        """Return the name of an operation, by the place in the code that calls it."""
        while frame is not None and _is_between(frame):
            frame = frame.f_back
        if (
            frame is None
            or frame.f_code.co_filename.startswith(f"{_TORCH}/")
            or function == "__get__"
        ):
            return ""
        code, at = frame.f_code, frame.f_lasti
        while frame is not None:
            owner = self.modules.get(id(frame.f_locals.get("self")))
            if owner is not None:
                break
            frame = frame.f_back
        else:
            return ""
        key = (owner, code, at)
        if key not in self.named:
            plain = f"{owner}{SEPARATOR}{function.strip('_')}"
            number = self.counts[plain]
            self.counts[plain] += 1
            self.named[key] = f"{plain}_{number}" if number else plain
        return self.named[key]


def _is_between(frame: FrameType) -> bool:
    file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
    return file in _PASSED or file.startswith("<@beartype") or module.startswith(_CHECKERS)
