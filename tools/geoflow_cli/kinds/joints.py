"""`geoflow train` of a rigger; `geoflow rig` uses it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geoflow_cli.checks import check_at_least, refuse_unread
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded
from geoflow_cli.kinds.one_network import model_and_stage, run_of
from geoflow_cli.options import KindName, TrainOptions

if TYPE_CHECKING:
    from geoflow.training.run import DataConfig, RunConfig

_GIVES: Final = "figures"
_NUM_VALIDATION = 32
_MOST_FIGURES = 200_000


@dataclass(frozen=True)
class Train(TrainOptions):
    """Train a rigger: joints of figures from points of their surface.

    --data is 'procedural', or a folder in RigNet's layout. Without --out the run is in runs/joints.
    Steps are 2,000; the objective is cumulative, on linear and x1.
    """

    kind: KindName = "joints"
    """A rigger."""
    num_shapes: int = 12_000
    """Procedural training figures."""


Sample = None
"""A rigger has no samples of its own."""


def check(options: Train, given: Collection[str]) -> None:
    """Refuse what is wrong before anything slow."""
    check_at_least("num-shapes", options.num_shapes, 2)
    if options.num_shapes > _MOST_FIGURES:
        raise UsageError(
            f"--num-shapes must be at most {_MOST_FIGURES:,}: figures are held in memory; got "
            f"{options.num_shapes:,}"
        )
    from geoflow_datasets import check as check_source

    check_source(options.data, "all", gives=_GIVES, num=options.num_shapes)
    model_and_stage(options, interpolant="linear")
    refuse_unread([options.data], given, gives=_GIVES)


def default_folder(options: Train) -> str:
    """One name for all."""
    return "joints"


def data_of(options: Train) -> DataConfig:
    """Where the figures come from."""
    from geoflow.training.run import DataConfig
    from geoflow_datasets import PROCEDURAL

    source = options.data if options.data == PROCEDURAL else str(Path(options.data).resolve())
    return DataConfig(source, "all", "y", options.num_shapes)


def load(data: DataConfig, *, show_progress: bool) -> Loaded:
    """Banks of figures."""
    from geoflow_datasets import describe
    from geoflow_datasets import load as load_bank

    train, validation = (
        load_bank(data.source, gives=_GIVES, split=split, num=num, show_progress=show_progress)
        for split, num in (("train", data.num), ("val", _NUM_VALIDATION))
    )
    said = describe(data.source, gives=_GIVES)
    return Loaded(train, validation, train, {"figures": len(train)}, said)


def config(options: Train, data: DataConfig, loaded: Loaded) -> RunConfig:
    """The run."""
    return run_of(options, data, interpolant="linear")


def fit_to(loaded: Loaded, config: RunConfig) -> Loaded:
    """Figures are standardised one by one."""
    return loaded


def hint(folder: Path, config: RunConfig) -> str:
    """How to use the model."""
    return f"geoflow rig --model {folder} --mesh figure.obj --out joints.json"
