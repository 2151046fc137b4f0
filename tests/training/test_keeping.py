"""Tuning ends no worse on held-out shapes than it began, to the bit, resumed or not."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from geoflow.backbones import ShapeConfig, TransformerConfig
from geoflow.backbones.volume_field import VolumeConfig
from geoflow.models.fields import FieldConfig
from geoflow.models.kinds import load as load_model
from geoflow.models.volumes import VolumesConfig
from geoflow.training.optimisation import Schedule
from geoflow.training.run import Run, RunConfig
from geoflow.training.stages.field_autoencoder import AutoencoderTraining
from geoflow.training.stages.latent_flow import FlowTraining
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_autoencoder import VolumeTraining
from geoflow.training.stages.volume_flow import VolumeFlowTraining
from geoflow_datasets import load

FLOW = {"width": 32, "vector_width": 4, "heads": 4, "blocks": 1, "condition_width": 16}
SMALL = {"num_tokens": 4, "scalars": 4, "vectors": 1}
KINDS = {
    "sdf": (
        FieldConfig(
            autoencoder=ShapeConfig(
                **SMALL, encoder_width=32, decoder_width=32, decoder_layers=2, heads=4,
                encoder_blocks=1,
            ),
            transformer=TransformerConfig(**SMALL, **FLOW),
        ),
        AutoencoderTraining(steps=40, batch=4, num_surface=32, num_queries=64),
    ),
    "shapes": (
        VolumesConfig(
            categories=("bottle",),
            autoencoder=VolumeConfig(
                cells=2, scalars=6, widths=(32, 16, 16, 16), cell_blocks=1, coarse_blocks=1,
                hidden=16, layers=1,
            ),
            transformer=TransformerConfig(num_tokens=8, scalars=6, vectors=0, **FLOW),
        ),
        VolumeTraining(steps=40, batch=2, num_queries=64, ema=0.5,
                       scans=ScanOptions(fewest=16, most=32)),
    ),
}  # fmt: skip

FLOWS = {"sdf": FlowTraining, "shapes": partial(VolumeFlowTraining, draws=16)}


def config(kind, *, rate=3e-3, start=None):
    model, first = KINDS[kind]
    first = replace(first, schedule=Schedule(learning_rate=rate, warmup=1))
    flow = FLOWS[kind](steps=1, batch=2, num_surface=32)
    return RunConfig(
        kind=kind, model=model, stages={"autoencoder": first, "flow": flow},
        init_from=start, checkpoint_every=20,
    )  # fmt: skip


@pytest.fixture(scope="module")
def banks(tmp_path_factory):
    cache = tmp_path_factory.mktemp("banks")
    return [load("procedural", "bottle", split=s, num=4, cache=cache) for s in ("train", "val")]


def autoencoder(model):
    return {name: value.clone() for name, value in model.autoencoder.state_dict().items()}


def train(run, banks, *, stop=None):
    """All steps, or some of the first stage, as a kill would leave the folder."""
    for progress in run.train(banks[0], held_out=banks[1]):
        if progress.step == stop:
            return


def tuned(folder, start, banks, *, kind, rate, stop=None):
    """The autoencoder that a run starts from, the one it ends with, and what it says."""
    run = Run.create(folder, config(kind, rate=rate, start=str(start)))
    before = autoencoder(run.model)
    train(run, banks, stop=stop)
    if stop is not None:
        run = Run.open(folder)
        train(run, banks)
    return before, autoencoder(run.model), run.said


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_tuning_spoils_is_kept_as_it_was(tmp_path, banks, kind):
    train(Run.create(tmp_path / "first", config(kind)), banks)
    first = tmp_path / "first" / "model"
    for name, stop in (("whole", None), ("resumed", 25)):
        before, after, (said,) = tuned(
            tmp_path / name, first, banks, kind=kind, rate=0.2, stop=stop
        )
        assert all(torch.equal(after[key], before[key]) for key in before)
        assert said.endswith("so the one it began with is kept")
        loaded = autoencoder(load_model(tmp_path / name))
        # Read from a file, so that being stored again rounds nothing.
        assert all(torch.equal(loaded[key], before[key]) for key in before)
    # Twin: what gets better is kept, and is said to be.
    before, after, (said,) = tuned(tmp_path / "good", first, banks, kind=kind, rate=3e-3)
    assert not any(torch.equal(after[key], before[key]) for key in before if "weight" in key)
    assert "is kept" not in said
    was, became = (float(word) for word in said.split() if word[0].isdigit())
    assert became < was


def test_nothing_is_compared_where_nothing_is_tuned_or_held_out(tmp_path, banks):
    fresh = Run.create(tmp_path / "fresh", config("sdf"))
    train(fresh, banks)
    assert fresh.said == []
    spoilt = Run.create(tmp_path / "spoilt", config("sdf", rate=0.2, start=str(tmp_path / "fresh")))
    before = autoencoder(spoilt.model)
    list(spoilt.train(banks[0]))
    assert spoilt.said == []
    assert not all(torch.equal(autoencoder(spoilt.model)[key], before[key]) for key in before)
