"""Training by several processes, which share out the parts of a step.

A step is made of parts, each with a batch and randomness of its own: functions of seed, step and
part. Process i of n takes parts i, i + n, ...; gradients are summed over all, and every process
takes the same step. Whoever does a part, and how many processes there are, changes nothing but the
order of a sum: no example is drawn by two, and a run goes on with another number of processes.

Gradients are averaged after the backward pass, in one sum over all of them: hooks of
DistributedDataParallel see only calls of the module itself, and objectives differentiate through
functional calls of it (torch.func.jvp), along their own ways. Lightning Fabric connects the
processes (also those of torchrun) and gives the sum; of the alternatives, Accelerate needs a
launcher of its own, and both would wrap the networks. `launch` starts and ends them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from geoflow.training.launch import Others

_UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Processes:
    """Those that train together, as one of them sees it; alone by default."""

    rank: int = 0
    num: int = 1
    fabric: Any = None
    """Who carries numbers between them."""
    others: Others | None = None
    """Those that this one has started."""

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """After an error, an interruption included, the others end at once."""
        if error is not None and self.others is not None:
            self.others.end()

    @property
    def is_first(self) -> bool:
        """Whether this one writes, reports and validates."""
        return self.rank == 0

    def parts(self, num: int) -> range:
        """The parts of a step that are this process's.

        Raises:
            ValueError: if the parts cannot be shared out evenly.
        """
        if num % self.num:
            raise ValueError(
                f"a step of {num} parts cannot be shared by {self.num} processes: take a number "
                f"of processes that divides {num}"
            )
        return range(self.rank, num, self.num)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same to the bit in each."""
        if self.fabric is None:
            return values
        total: Tensor = self.fabric.all_reduce(values, reduce_op="sum")
        return total

    def share_gradients(self, parameters: Sequence[nn.Parameter], num: int) -> None:
        """Let every gradient be the mean over `num` parts; each process has summed its own.

        A parameter that no part of any process used keeps none.
        """
        if self.fabric is not None:
            used = torch.tensor([float(p.grad is not None) for p in parameters])
            used = self.total(used.to(parameters[0].device))
            moved = [p for p, count in zip(parameters, used.tolist(), strict=True) if count]
            flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in moved]
            whole = self.total(torch.cat([gradient.flatten() for gradient in flat]))
            pieces = whole.split([p.numel() for p in moved])
            for parameter, piece in zip(moved, pieces, strict=True):
                parameter.grad = piece.view_as(parameter)
        if num > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad /= num

    def wait(self) -> None:
        """Until all are here."""
        if self.fabric is not None:
            self.fabric.barrier()

    def in_turn(self, make: Callable[[], Any]) -> Any:
        """Let the first process make what is kept on disk, then the others find it there."""
        if not self.is_first:
            self.wait()
        made = make()
        if self.is_first:
            self.wait()
        return made


ALONE = Processes()


def start(devices: int, num_nodes: int, device: str) -> tuple[Processes, str]:
    """The processes of a training, started if they are not, and the device of this one.

    Args:
        devices: processes of each machine, one a device.
        num_nodes: machines.
        device: cpu or cuda.

    Raises:
        ImportError: without lightning-fabric, where it is needed.
        ValueError: for several processes on another device.
    """
    if devices == num_nodes == 1 and _UNDER_TORCHRUN not in os.environ:
        return ALONE, device
    if device not in ("cpu", "cuda"):
        raise ValueError(f"several processes train on cpu or cuda, got {device}")
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ImportError(
            "several devices need lightning-fabric: pip install geoflow[devices]"
        ) from error
    others, has_torchrun = Others(), _UNDER_TORCHRUN in os.environ
    if has_torchrun:
        # It has started them; Fabric takes no number but theirs.
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        num_nodes = int(os.environ["WORLD_SIZE"]) // devices
    try:
        if not has_torchrun:
            others.start(devices, num_nodes)
        fabric = Fabric(accelerator=device, devices=devices, num_nodes=num_nodes, strategy="ddp")
        fabric.launch()
    except BaseException:
        others.end()
        raise
    own = f"cuda:{fabric.local_rank}" if device == "cuda" else device
    return Processes(fabric.global_rank, fabric.world_size, fabric, others), own
