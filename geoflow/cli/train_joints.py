"""`geoflow train --representation joints`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geoflow.cli.checks import check_at_least, refuse_options, resolve_device
from geoflow.cli.errors import failing
from geoflow.cli.options import Train
from geoflow.cli.progress import follow
from geoflow_datasets import PROCEDURAL, load_figures

if TYPE_CHECKING:
    from geoflow.training.joints_run import JointRunConfig

# Options of fields, which joints do not have.
_FOREIGN = (
    "shape_category",
    "channels",
    "data_up",
    "init_from",
    "teacher",
    "autoencoder_steps",
    "derivative",
    "times",
    "diagonal",
    "end",
    "weight_space",
    "weight_power",
    "coupling",
    "symmetry",
)


def train_joints(options: Train) -> None:
    """Check, make or read the figures, train with reports, and say where the model is."""
    refuse_options(options, _FOREIGN, because="--representation joints")
    if options.steps is not None:
        check_at_least("steps", options.steps, 1)
    check_at_least("num-shapes", options.num_shapes, 2)
    check_at_least("checkpoint-every", options.checkpoint_every, 1)
    device = resolve_device(options.device)
    from geoflow.training.joints_run import JointRun
    from geoflow.training.stages import check_free

    folder = options.out or Path("runs") / "joints"
    with failing():
        if options.resume:
            run = JointRun.open(folder, device=device)
            config = run.config
        else:
            check_free(folder)
            config = _config(options)
        figures = load_figures(
            config.data, split="train", num=config.num_figures, show_progress=options.progress
        )
        if not options.resume:
            run = JointRun.create(folder, config, device=device)
        follow(run.train(figures), folder / "log.jsonl", show=options.progress)
        print(f"{folder / 'model'}: model written")
        print(f"try: geoflow rig --model {folder} --mesh figure.obj --out joints.json")


def _config(options: Train) -> JointRunConfig:
    from geoflow.objectives import SPECIAL_CASES, build_objective
    from geoflow.rigger import Rigger, RiggerConfig
    from geoflow.training.joints import JointTraining
    from geoflow.training.joints_run import JointRunConfig

    case = SPECIAL_CASES.get(options.objective)
    build_objective(options.objective)
    model = RiggerConfig(
        interpolant=options.interpolant or (case and case.interpolant) or "linear",
        prediction=options.prediction or (case and case.prediction) or "x1",
    )
    Rigger.build(model)
    training = JointTraining(objective=options.objective)
    if options.steps is not None:
        training = replace(training, steps=options.steps)
    is_folder = options.data != PROCEDURAL
    return JointRunConfig(
        data=str(Path(options.data).resolve()) if is_folder else PROCEDURAL,
        num_figures=options.num_shapes,
        model=model,
        training=training,
        seed=options.seed,
        checkpoint_every=options.checkpoint_every,
    )
