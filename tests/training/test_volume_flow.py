"""The flow of many things: what its examples are encoded from, and what they are told."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_volumes import CONFIG, MODEL

from geoflow.condition import ANY
from geoflow.models.base import WEIGHTS
from geoflow.models.completion import RECYCLED, hypotheses, prepare
from geoflow.models.kinds import load as load_model
from geoflow.models.volumes import VolumeGenerator
from geoflow.objectives import Guide
from geoflow.seeds import step_generator
from geoflow.training.stage import Context
from geoflow.training.stages.scans import ScanOptions
from geoflow.training.stages.volume_flow import VolumeFlowStage, VolumeFlowTraining
from geoflow_cli import main
from geoflow_datasets import load

NAMES = ("bottle", "mug")
TWO = replace(
    MODEL, categories=NAMES, transformer=replace(MODEL.transformer, num_categories=len(NAMES))
)
OPTIONS = VolumeFlowTraining(
    steps=1, batch=512, num_surface=64, draws=96, scans=ScanOptions(fewest=24, most=32), bf16=False
)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    cache = tmp_path_factory.mktemp("bank")
    return load("procedural", ",".join(NAMES), split="train", num=6, cache=cache)


def stage_of(bank, options=OPTIONS, config=TWO):
    torch.manual_seed(0)
    made = VolumeFlowStage(options, Context(VolumeGenerator.build(config), bank))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def stage(bank):
    return stage_of(bank)


def test_some_draws_are_scans_and_the_others_have_zeros(stage):
    tokens, cond = stage._latents
    assert tokens.shape == cond.tokens.shape == (96, 8, 6)
    is_scan = cond.tokens.flatten(1).any(1)
    assert 0.2 < is_scan.float().mean() < 0.8
    assert not torch.allclose(tokens[is_scan].float(), cond.tokens[is_scan].float(), atol=0.05)
    # Scaled alike: normalising makes unit size of what is drawn.
    torch.testing.assert_close(
        tokens.float().square().mean((0, 1)), torch.ones(6), rtol=0.1, atol=0.1
    )


def test_no_more_is_encoded_than_a_run_draws(bank):
    told = []
    context = Context(VolumeGenerator.build(TWO), bank, watch=lambda *said: told.append(said))
    VolumeFlowStage(replace(OPTIONS, steps=3, batch=5), context).prepare()
    assert told[-1] == ("encoding shapes", 15, 15)


def test_a_scan_is_of_the_shape_beside_it_and_in_its_place(bank):
    """Without noise all of its points are points of the surface that is encoded whole."""
    scans = ScanOptions(fewest=24, most=32, noisy=0.0, outliers=0.0, cut=1.0, turned=0.5)
    made = VolumeFlowStage(
        replace(OPTIONS, completing=1.0, scans=scans), Context(VolumeGenerator.build(TWO), bank)
    )
    whole, seen = made._draw(torch.tensor([0, 3, 5]), step_generator(0, "latents", 0))
    distances = torch.cdist(seen.points, whole.surface).amin(2)
    assert distances.max() < 1e-3
    # Twin: not in the place of the shape's own box.
    plain = VolumeFlowStage(replace(OPTIONS, completing=0.0), made.context)
    there, none = plain._draw(torch.tensor([0, 3, 5]), step_generator(0, "latents", 0))
    assert none is None
    assert torch.cdist(seen.points, there.surface).amin(2).max() > 1e-2


def test_shapes_are_mirrored_where_that_is_asked_for(bank):
    """Of mugs, whose handles are on one side, half lie on the other; else all as they are made."""
    rows = torch.arange(len(bank)).repeat(8)
    stored = torch.from_numpy(np.asarray(bank.surface, np.float32))[rows]
    for mirror, expected in ((True, 2), (False, 1)):
        options = replace(OPTIONS, completing=0.0, mirror=mirror)
        made = VolumeFlowStage(options, Context(VolumeGenerator.build(TWO), bank))
        whole, _ = made._draw(rows, step_generator(0, "latents", 0))
        flip = torch.tensor([-1.0, 1, 1])
        as_made, mirrored = (
            (torch.cdist(whole.surface * sign, stored).amin(2) < 1e-6).all(1)
            for sign in (torch.ones(3), flip)
        )
        assert (as_made | mirrored).all()
        assert len(as_made.unique()) == expected
        assert as_made.all() == (not mirror)


def test_some_are_told_no_category_and_some_are_guided(stage):
    pairs = stage.batch(step_generator(0, "flow", 0))
    cond = pairs.cond
    is_scan = cond.tokens.flatten(1).any(1)
    is_named = cond.category != ANY
    assert cond.tokens.dtype == pairs.x1.dtype == torch.float32
    assert 0.75 < is_named[~is_scan].float().mean() < 0.95
    assert 0.35 < is_named[is_scan].float().mean() < 0.65
    guided = cond.guidance > 1
    assert 0.3 < guided[~is_scan].float().mean() < 0.6
    assert not guided[is_scan | ~is_named].any()
    assert cond.guidance.min() >= 1
    assert cond.guidance.max() <= OPTIONS.most_guidance
    assert isinstance(stage_pool(stage), Guide)


def stage_pool(stage):
    from geoflow.training.ema import Ema

    stage.average = Ema(stage.module, 0.9)
    return stage.pool()


def test_a_network_of_before_reads_neither(bank):
    old = replace(TWO, transformer=replace(TWO.transformer, guided=False, points=False))
    stage = stage_of(bank, config=old)
    cond = stage.batch(step_generator(0, "flow", 0)).cond
    told = set(cond.parts())
    assert told >= {"frame", "category"}
    assert not told & {"guidance", "points"}
    assert cond.category.min() >= 0
    assert stage.pool() is None
    with pytest.raises(ValueError, match="trained without guidance"):
        stage.model.condition(1, category="mug", guidance=2.0)
    with pytest.raises(ValueError, match="trained without points"):
        stage.model.condition(1, points=torch.zeros(1, 8, 6))


def test_latents_with_points_have_no_pool(bank):
    context = Context(VolumeGenerator.build(TWO), bank)
    with pytest.raises(ValueError, match="leave --targets pooled out"):
        VolumeFlowStage(replace(OPTIONS, targets="pooled"), context)


def test_samples_are_asked_for_by_name_weight_and_points(stage):
    model = stage.model
    noise = model.noise(1)
    with torch.no_grad():
        for parameter in model.flow_map.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))

    def drawn(**asked):
        return model.sample_latents(noise, model.condition(1, **asked))

    anything, named = drawn(), drawn(category="mug")
    weighted = drawn(category="mug", guidance=3.0)
    through = drawn(points=model.encode(torch.rand(1, 64, 3) - 0.5))
    different = [anything, named, weighted, through]
    for i, one in enumerate(different):
        for other in different[:i]:
            assert not torch.allclose(one, other)
    assert torch.equal(named, drawn(category="mug", guidance=1.0))
    assert torch.equal(anything, drawn(category="any"))
    assert model.choices == ("any", *NAMES)
    with pytest.raises(ValueError, match="category must be one of any, bottle, mug, got 'jug'"):
        drawn(category="jug")
    with pytest.raises(ValueError, match=r"guidance must be from 1 to 8, got 0\.5"):
        drawn(category="mug", guidance=0.5)


def test_some_weights_are_stored_in_eight_bits_and_stay_so(stage, tmp_path):
    stage.model.save_pretrained(tmp_path / "a")
    stored = load_file(tmp_path / "a" / WEIGHTS)

    def layers(dtype):
        names = [name for name, value in stored.items() if value.dtype == dtype]
        return {(name.split(".")[0], name.split(".")[-2]) for name in names}

    in_rows = {*product(["flow"], ["up", "down"]), ("autoencoder", "down_cells")}
    assert layers(torch.int8) == in_rows
    assert layers(torch.float8_e4m3fn) == {
        *product(["autoencoder"], ["first", "second", "up", "down", "qkv"])
    }
    again = load_model(tmp_path / "a")
    again.save_pretrained(tmp_path / "b")
    whole = [(tmp_path / name / WEIGHTS).read_bytes() for name in ("a", "b")]
    assert whole[0] == whole[1]
    # Twin: what float8 cannot hold is not cut off.
    weight = again.autoencoder.encoder.blocks[0].up.weight
    with torch.no_grad():
        weight[0, 0] = 1e4
    again.save_pretrained(tmp_path / "c")
    kept = load_model(tmp_path / "c").autoencoder.encoder.blocks[0].up.weight
    assert kept[0, 0] == 1e4
    assert torch.equal(kept, weight)


def test_further_answers_are_drawn_given_the_points(stage):
    model = stage.model
    points = torch.rand(64, 3, generator=torch.Generator().manual_seed(0)).numpy() - 0.5
    given = prepare(model, points, None)
    asked = {"steps": 1, "refine": 0, "category": None, "seed": 0}
    drawn = hypotheses(model, given, 3, spread=None, **asked).tokens
    assert torch.equal(drawn, hypotheses(model, given, 3, spread=1.0, **asked).tokens)
    # Twin: part of the way to noise leads elsewhere.
    assert not torch.allclose(drawn, hypotheses(model, given, 3, spread=0.4, **asked).tokens)
    assert torch.equal(drawn[0], model.encode(given.points, recycle=RECYCLED)[0])


def test_the_command_line_weighs_a_category(stage, tmp_path, capsys):
    stage.model.save_pretrained(tmp_path / "model")
    common = ["sample", "--model", str(tmp_path / "model"), "--resolution", "16"]
    out = ["--out", str(tmp_path / "a.obj")]
    for asked, message in (
        (["--guidance", "2"], "--guidance weighs a category: name it by --category"),
        (["--category", "mug", "--guidance", "9"], "guidance must be from 1 to 8, got 9"),
        (["--category", "mug", "--guidance", "nan"], "guidance must be from 1 to 8, got nan"),
    ):
        assert main([*common, *asked, *out]) == 2
        assert message in capsys.readouterr().err
    # None of whom are told what may be asked for.
    assert main([*common, "--category", "jug", *out]) == 2
    assert "--category must be one of any, bottle, mug, got 'jug'" in capsys.readouterr().err
    assert main(["sample", "--model", "chair", "--category", "any", *out]) == 2
    assert main(["sample", "--model", "chair", "--guidance", "2", *out]) == 2
    assert "guidance" in capsys.readouterr().err
    assert CONFIG.stages["flow"].draws == 48
