"""`geoflow train` and `geoflow sample` of meshes of many kinds of things, from any points."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geoflow_cli.checks import check_at_least, refuse_unread
from geoflow_cli.errors import UsageError
from geoflow_cli.kinds import Loaded, fields, mesh_options, shapes
from geoflow_cli.kinds.fields import hint
from geoflow_cli.kinds.mesh_options import MeshTrain
from geoflow_cli.options import KindName

if TYPE_CHECKING:
    from geoflow.models.base import ModelFile
    from geoflow.models.volumes import VolumeGenerator
    from geoflow.training.run import DataConfig, RunConfig
    from geoflow_datasets.sources import Gives

__all__ = ["hint"]

GIVES: Gives = "fields"
JOINT = "+"
"""Joins the sources of a mixture."""
# Training shapes of each source that samples are compared with.
_COMPARED = 256


@dataclass(frozen=True)
class Train(MeshTrain):
    """Train one autoencoder of many things, whose encoder takes any points, then a flow.

    --data is one source or several, joined as procedural+FOLDER: the words procedural and universe,
    folders of meshes, and folders of finished banks with train/ and val/; each has an equal share
    of the draws. Without --out the run is in runs/shapes. Steps are 24,000 for the autoencoder and
    12,000 for the flow, or a tenth of that with --init-from or --teacher.
    """

    kind: KindName = "shapes"
    """Meshes of many kinds of things."""
    shape_category: str = "all"
    """Categories of each source, joined by commas, or all."""
    size: Literal["small", "base", "large"] = "base"
    """Sizes of the networks: small and base for a CPU, large for a GPU."""
    batch: int | None = None
    """Shapes of a step of the autoencoder. Default: 4, for a CPU."""
    decoder_steps: int = 0
    """Optimiser steps in which the decoder alone goes on, so that fields are more exact. Samples'
    latents stay as they are (docs/sharpening.md)."""
    residual_steps: int = 0
    """Optimiser steps of a last stage, in which a network learns to mend fields beside points that
    are given (docs/shapes.md). Samples stay as they are."""


@dataclass(frozen=True)
class Sample(fields.Sample):
    """Generate meshes of many kinds of things and write them by suffix.

    That is .obj, .ply, .stl, .glb, .off or .3mf. For several, NAME-000.obj and on. Without
    --category a sample may be anything that the model knows.
    """

    guidance: float | None = None
    """Weight of --category, from 1, the default, to 8: more typical things, less different. It
    costs no evaluation."""


def check_sample(options: Sample, file: ModelFile) -> None:
    """Refuse what is wrong for this model, before its weights are read."""
    fields.check_sample(options, file)
    if options.guidance is None:
        return
    from geoflow.condition import ANYTHING

    if options.category in (None, ANYTHING):
        raise UsageError("--guidance weighs a category: name it by --category")
    from geoflow.models.latent import check_guidance
    from geoflow.models.volumes import VolumesConfig

    network = file.config(VolumesConfig).transformer
    try:
        check_guidance(options.guidance, guided=network.guided)
    except ValueError as error:
        raise UsageError(f"--model {options.model}: {error}") from error


def sample(options: Sample, model: VolumeGenerator) -> None:
    """Generate and write meshes; one line for each."""
    fields.sample(options, model, guidance=options.guidance)


def check(options: Train, given: Collection[str]) -> None:
    """Refuse what is wrong before anything slow."""
    start = options.init_from or options.teacher
    if start is not None and "size" in given:
        raise UsageError(f"--size is of fresh networks, and those of {start} have theirs")
    if options.symmetry != "frame":
        raise UsageError(f"--kind shapes stands in a frame, got --symmetry {options.symmetry}")
    if options.batch is not None:
        check_at_least("batch", options.batch, 1)
    check_at_least("decoder-steps", options.decoder_steps, 0)
    check_at_least("residual-steps", options.residual_steps, 0)
    for source in sources(options.data):
        mesh_options.check(replace(options, data=source), given, gives=GIVES)
    refuse_unread(sources(options.data), given, gives=GIVES)


def default_folder(options: Train) -> str:
    """One name: what it learns from is in the run."""
    return "shapes"


def sources(data: str) -> list[str]:
    """The sources of a mixture.

    Raises:
        UsageError: for a joint with nothing on one side.
    """
    parts = data.split(JOINT)
    if "" in parts:
        raise UsageError(f"--data joins sources by {JOINT}, got {data!r}: name one on both sides")
    return parts


def data_of(options: Train) -> DataConfig:
    """Where the shapes come from."""
    made = [mesh_options.data_of(replace(options, data=source)) for source in sources(options.data)]
    return replace(made[0], source=JOINT.join(one.source for one in made))


def load(data: DataConfig, *, show_progress: bool) -> Loaded:
    """The banks of all sources, their categories counted together."""
    parts = [
        fields.load(replace(data, source=source), show_progress=show_progress)
        for source in sources(data.source)
    ]
    names = tuple(dict.fromkeys(name for part in parts for name in part.train.category_names))
    train, held_out = (
        [bank.with_categories(names) for bank in banks]
        for banks in zip(*((part.train, part.validation) for part in parts), strict=True)
    )
    about: dict[str, Any] = {
        "train_shapes": sum(map(len, train)),
        "sources": {Path(s).name: len(b) for s, b in zip(sources(data.source), train, strict=True)},
    }
    if credits := [credit for part in parts for credit in part.about.get("attribution", ())]:
        about["attribution"] = credits
    said = "\n".join(part.said for part in parts if part.said)
    return Loaded(train, held_out, train, about, said)


def config(options: Train, data: DataConfig, loaded: Loaded) -> RunConfig:
    """The run, with the categories of all sources and networks of the size."""
    from geoflow.models.base import describe
    from geoflow.models.volumes import VolumesConfig

    run = shapes.config(options, data, replace(loaded, train=loaded.train[0]))
    if options.batch is not None:
        first = replace(run.stages["autoencoder"], batch=options.batch)  # type: ignore[call-arg]
        run = replace(run, stages={**run.stages, "autoencoder": first})
    if options.decoder_steps:
        from geoflow.training.stages.volume_decoder import VolumeDecoderTraining

        decoding = VolumeDecoderTraining(steps=options.decoder_steps)
        run = replace(run, stages={**run.stages, "decoder": decoding})
    if options.residual_steps:
        from geoflow.training.stages.volume_residual import VolumeResidualTraining

        mending = VolumeResidualTraining(steps=options.residual_steps)
        run = replace(run, stages={**run.stages, "residual": mending})
    start = run.init_from or run.teacher
    if start is not None:
        return run if describe(start).has_samples else _with_fresh_flow(options, run)
    made = VolumesConfig.build(
        symmetry=run.model.symmetry,
        categories=run.model.categories,
        interpolant=run.model.interpolant,
        prediction=run.model.prediction,
        size=options.size,
    )
    return replace(run, model=made)


def _with_fresh_flow(options: Train, run: RunConfig) -> RunConfig:
    """The run from a model without a flow: with the flow's whole training, on the data's names."""
    from geoflow.training.stages.volume_flow import VolumeFlowTraining

    flow, fresh = run.stages["flow"], VolumeFlowTraining()
    whole: dict[str, Any] = {
        name: getattr(fresh, name) for name in ("diagonal_first", "schedule", "draws")
    }
    if options.steps is None:
        whole["steps"] = fresh.steps
    return replace(run, stages={**run.stages, "flow": replace(flow, **whole)})


def fit_to(loaded: Loaded, config: RunConfig) -> Loaded:
    """A mixture of the sources, categories counted as the model does; what is held out as one."""
    from geoflow_datasets.balance import in_turn
    from geoflow_datasets.mixture import joined, mixture

    names = config.model.categories
    training = [bank.with_categories(names) for bank in loaded.train]
    held_out = joined([bank.with_categories(names) for bank in loaded.validation])
    validation = held_out.subset(in_turn(held_out.categories))
    some = joined([bank.subset(range(min(len(bank), _COMPARED))).loaded() for bank in training])
    return replace(loaded, train=mixture(training), validation=validation, bank=some)
