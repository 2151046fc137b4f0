"""How the shipped airplanes are trained on, in small."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import tiny_models

from geoflow.condition import Condition
from geoflow.flow_map import FlowMap
from geoflow.geometry.sdf import union_distance
from geoflow.models.clouds import PointGenerator
from geoflow.solutions import Solutions, grid_of, map_errors
from geoflow.symmetry import upright_frame
from geoflow.testing import relative_error
from geoflow.training.ema import Ema
from geoflow.training.stage import Context
from geoflow_datasets.procedural import make_solids
from geoflow_tools.train_clouds import __main__ as train_clouds
from geoflow_tools.train_clouds.clouds import GrowingClouds, Makers, draw_cloud, encode
from geoflow_tools.train_clouds.latent_stage import LatentSolutions, LatentSolutionStage
from geoflow_tools.train_clouds.point_stage import (
    PointSolutions,
    PointSolutionStage,
    ReadDecoder,
    half_squares,
)
from geoflow_tools.train_clouds.timed import TimedSchedule
from geoflow_tools.train_shapes.loops import Clock


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_clouds_lie_on_the_surface_of_the_union():
    cloud = draw_cloud("airplane", 3, num=500)
    assert (cloud.shape, cloud.dtype) == ((500, 3), np.float16)
    solids = make_solids("airplane", 3)
    distance = np.abs(union_distance(solids, cloud.astype(float)))
    # Half precision of numbers up to 1.
    assert distance.max() < 2e-3
    others = make_solids("airplane", 4)
    assert np.abs(union_distance(others, cloud.astype(float))).max() > 0.02
    np.testing.assert_array_equal(cloud, draw_cloud("airplane", 3, num=500))


def test_grids_rise_from_noise_to_data_and_differ():
    one, two = (grid_of(8, 1.5, seeded(seed)) for seed in (0, 1))
    for grid in (one, two):
        assert (grid[0], grid[-1], len(grid)) == (0, 1, 9)
        assert (grid.diff() > 0).all()
    assert (one[1:-1] != two[1:-1]).all()
    assert one.diff()[-1] < one.diff()[2]


class Straight(torch.nn.Module):
    """The field of a law that is one point: its map is known, m = (y - x) / (1 - t)."""

    def __init__(self, off=0.0):
        super().__init__()
        self.off = off

    def forward(self, x, t, r, cond=None):
        return (1.0 - x) / (1 - t).clamp(min=1e-3)[:, None, None] + self.off * (r - t)[
            :, None, None
        ]


def test_the_true_map_has_no_error_and_lands_on_the_data():
    def errors(off):
        flow = FlowMap(Straight(off), "linear", "u")
        way = Solutions.solve(
            flow, torch.randn(4, 5, 3, generator=seeded()), grid_of(6, 1.5, seeded())
        )
        i, j = way.random(40, seeded(2))
        assert (i < j).all()
        assert 0.3 < (j == way.steps).float().mean() < 0.9
        return *map_errors(flow, way.pairs(*way.ends())), map_errors(flow, way.pairs(i, j))[0]

    whole, landed, part = errors(0.0)
    assert max(whole.max(), part.max()) < 1e-9
    torch.testing.assert_close(landed, torch.ones_like(landed))
    # Twin: a map whose velocity is right, but not its jumps.
    whole, _, part = errors(0.3)
    assert min(whole.min(), part.min()) > 1e-6


def test_a_decoder_that_has_read_its_latents_answers_alike():
    model = tiny_models()["points"]
    decoder = model.autoencoder.flow.backbone
    tokens = torch.randn(2, 4, 7, generator=seeded())
    cond = Condition(upright_frame("frame", 2), tokens=tokens)
    x, (t, r) = torch.randn(6, 5, 3, generator=seeded(1)), torch.rand(2, 6, generator=seeded(2))
    known = ReadDecoder(decoder, decoder.of_latents(cond), cond, groups=3)(x, t, r)
    torch.testing.assert_close(known, decoder(x, t, r, cond.repeat(3)))
    assert relative_error(known, decoder(x, t, r, cond.repeat(3)[torch.arange(6).roll(3)])) > 1e-3


def test_half_squares_are_half_of_squared_distances():
    a, b = torch.randn(2, 3, 7, 3, generator=seeded())
    torch.testing.assert_close(half_squares(a, b[:, :4]), torch.cdist(a, b[:, :4]).square() / 2)


class Clouds:
    """Spheres: what a stage draws from."""

    def draw(self, num, generator):
        points = torch.randn(num, 64, 3, generator=generator)
        return points / points.norm(dim=-1, keepdim=True)


SMALL = {"ema": 0.9, "bf16": False, "muon_bf16": False, "solver_steps": 4}
POINTS = PointSolutions(
    batch=4, num_surface=32, diagonal_groups=2, groups=2, group_points=16, **SMALL
)


def fresh_model():
    """Whose solutions stay where they are."""
    torch.manual_seed(0)
    return PointGenerator.build(tiny_models()["points"].config)


def losses(stage, *, steps=40, rate=3e-3):
    """Means of the first and the last steps' terms."""
    stage.average = Ema(stage.module, stage.options.ema)
    adam = torch.optim.Adam(stage.module.parameters(), rate)
    seen = []
    for step in range(steps):
        generator = seeded(step)
        found = stage.loss(stage.batch(generator), step, generator)
        found.total.mean().backward()
        torch.nn.utils.clip_grad_norm_(stage.module.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        stage.average.update(stage.module, step)
        seen.append({name: float(term.detach().mean()) for name, term in found.terms.items()})
    return [
        {name: np.mean([terms[name] for terms in part]) for name in seen[0]}
        for part in (seen[:8], seen[-8:])
    ]


def test_points_come_nearer_to_the_surface():
    model = fresh_model()
    encoder = [p.clone() for p in model.autoencoder.encoder.parameters()]
    first, last = losses(PointSolutionStage(POINTS, Context(model, Clouds())))
    assert last["diagonal"] < 0.9 * first["diagonal"]
    assert last["near"] < 0.7 * first["near"]
    for was, now in zip(encoder, model.autoencoder.encoder.parameters(), strict=True):
        torch.testing.assert_close(now, was, atol=0, rtol=0)


def test_latents_are_learned_by_flow_matching_and_jumps():
    model = fresh_model()
    data = 0.3 * torch.randn(32, 4, 7, generator=seeded()) + 1
    options = LatentSolutions(batch=8, solutions=8, **SMALL)
    first, last = losses(LatentSolutionStage(options, Context(model, data)), rate=3e-4)
    assert set(first) == {"diagonal", "one", "pairs"}
    assert last["diagonal"] < 0.9 * first["diagonal"]


def test_rates_fall_by_the_clock():
    def rate(share, step):
        clock = Clock(1.0, 0.0)
        object.__setattr__(clock, "start", time.monotonic() - share)
        return TimedSchedule(1.0, warmup=10, clock=clock).at(step, 1)

    assert rate(0.0, 0) == pytest.approx(0.1)
    assert rate(0.1, 50) == 1.0
    assert rate(0.65, 50) == pytest.approx(0.5, abs=0.01)
    assert rate(1.1, 50) == 0.0


class Counted(Clock):
    """A clock of six steps."""

    taken = 0

    @property
    def share(self):
        return self.taken / 6

    def steps(self):
        while self.taken < 6:
            yield self.taken
            self.taken += 1


@pytest.mark.slow
def test_both_maps_are_trained_and_the_rest_stays(tmp_path, monkeypatch):
    def in_turn(function, *args):
        function(*args)
        return SimpleNamespace(exitcode=0, join=lambda: None, terminate=lambda: None)

    monkeypatch.setattr(train_clouds, "Clock", Counted)
    monkeypatch.setattr(train_clouds, "beside", in_turn)
    start = fresh_model()
    start.config = replace(start.config, categories=("bottle", "mug"))
    start.save_pretrained(tmp_path / "start", half=False)
    train_clouds.Training(
        train_clouds.Options(
            out=tmp_path / "out", device="cpu", start=str(tmp_path / "start"),
            num_shapes=6, first=2, makers=1, batch=2, group_points=8, latent_batch=4, draws=1,
            report_every=0.0, learning_rate=0.05,
        )
    ).run()  # fmt: skip
    made = PointGenerator.from_pretrained(tmp_path / "out")
    was = PointGenerator.from_pretrained(tmp_path / "start")
    lines = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines if "stage" in line} == {"points", "flow"}
    assert made.card["then"]["shapes"] == 6
    for name, part in made.autoencoder.encoder.state_dict().items():
        assert relative_error(part, was.autoencoder.encoder.state_dict()[name]) < 1e-3
    for moved, before in ((made.autoencoder.flow, was.autoencoder.flow),
                          (made.flow_map, was.flow_map)):  # fmt: skip
        assert any(
            (part - before.state_dict()[name]).abs().max() > 1e-3
            for name, part in moved.state_dict().items()
        )


@pytest.mark.slow
def test_without_the_latents_their_flow_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(train_clouds, "Clock", Counted)
    start = fresh_model()
    start.config = replace(start.config, categories=("bottle", "mug"))
    start.save_pretrained(tmp_path / "start", half=False)

    def trained(name, seed):
        train_clouds.Training(
            train_clouds.Options(
                out=tmp_path / name, device="cpu", start=str(tmp_path / "start"), num_shapes=1,
                first=1, makers=1, batch=2, group_points=8, latents=False, seed=seed,
                learning_rate=0.05,
            )
        ).run()  # fmt: skip
        return PointGenerator.from_pretrained(tmp_path / name)

    was = PointGenerator.from_pretrained(tmp_path / "start").flow_map.state_dict()
    one, same, other = (trained(name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one.card["then"]["seed"] == 1
    for made in (one, other):
        for name, part in made.flow_map.state_dict().items():
            assert relative_error(part, was[name]) < 1e-3
    points = [made.autoencoder.flow.state_dict() for made in (one, same, other)]
    for name, part in points[0].items():
        assert torch.equal(part, points[1][name])
    assert any(not torch.equal(part, points[2][name]) for name, part in points[0].items())


def test_encodings_are_those_of_their_seed():
    model = fresh_model()
    makers = Makers("bottle", 2, 1)
    try:
        clouds = GrowingClouds(makers, torch.device("cpu"))
        while not clouds.is_whole:
            time.sleep(0.01)
    finally:
        makers.stop()
    assert not clouds.failure
    one, same, other = (encode(model, clouds, 2, seeded(seed)) for seed in (0, 0, 1))
    assert len(one) == 8
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
