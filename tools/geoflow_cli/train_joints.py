"""`geoflow train --representation joints`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geoflow_cli.checks import check_at_least
from geoflow_cli.errors import failing
from geoflow_cli.options import Train
from geoflow_cli.train_single_stage import check_options, common_config, train_run
from geoflow_datasets import PROCEDURAL, load_figures

if TYPE_CHECKING:
    from geoflow.training.joints_run import JointRunConfig

_NUM_VALIDATION = 32


def train_joints(options: Train) -> None:
    """Check, make or read the figures, train with reports, and say where the model is."""
    device = check_options(options, ("channels", "data_up"))
    check_at_least("num-shapes", options.num_shapes, 2)
    from geoflow.training.folder import check_free
    from geoflow.training.joints_run import JointRun
    from geoflow_tools.validation.step_quality import joint_quality

    folder = options.out or Path("runs") / "joints"
    with failing():
        if options.resume:
            run = JointRun.open(folder, device=device)
            config = run.config
        else:
            check_free(folder)
            config = _config(options)
        banks = {
            split: load_figures(config.data, split=split, num=num, show_progress=options.progress)
            for split, num in (("train", config.num_figures), ("val", _NUM_VALIDATION))
            if split == "train" or options.sheet_every
        }
        if not options.resume:
            run = JointRun.create(folder, config, device=device)
        train_run(
            run,
            banks["train"],
            options,
            lambda rigger: joint_quality(rigger, banks["val"]),
        )
        print(f"try: geoflow rig --model {folder} --mesh figure.obj --out joints.json")


def _config(options: Train) -> JointRunConfig:
    from geoflow.models.joints import Rigger, RiggerConfig
    from geoflow.training.joints_run import JointRunConfig
    from geoflow.training.stages.joints import JointTraining

    common = common_config(options, RiggerConfig, JointTraining, interpolant="linear")
    Rigger.build(common["model"])
    is_folder = options.data != PROCEDURAL
    return JointRunConfig(
        data=str(Path(options.data).resolve()) if is_folder else PROCEDURAL,
        num_figures=options.num_shapes,
        **common,
    )
