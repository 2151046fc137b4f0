"""Samples trained against data come nearer to them; all other answers stay."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import networks_apart, tiny_models, told_model
from told_data import Level, Steps, data_of, seeded

from geoflow.condition import ANY
from geoflow.flow_map import FlowMap
from geoflow.models.kinds import load
from geoflow.testing import relative_error
from geoflow_datasets import load as load_source
from geoflow_tools.bench.energy import energy_distance
from geoflow_tools.fit_jumps.__main__ import DataOptions, SharpenOptions
from geoflow_tools.fit_jumps.data import encode_shapes, read_data, shapes_of
from geoflow_tools.fit_jumps.drawing import names
from geoflow_tools.fit_jumps.held_out import HeldOut
from geoflow_tools.fit_jumps.keeping import Keeping
from geoflow_tools.fit_jumps.progress import Progress
from geoflow_tools.fit_jumps.sharpening import Sharpening
from geoflow_tools.fit_jumps.solutions import Encoded

SCANNED = 7.0


def scans_of(model, num=30):
    network = model.config.transformer
    tokens = SCANNED * torch.ones(num, network.num_tokens, network.scalars)
    return Encoded(tokens, torch.arange(num) % 2)


def sharpening(model, steps, scans=None, **changes):
    clock = Steps(steps, time.monotonic())
    asked = {"batch": 16, **changes}
    return Sharpening(model=model, data=data_of(model), scans=scans, clock=clock, **asked)


def jumps_of(model, steps):
    return {tuple(pair.tolist()) for pair in torch.tensor(model.config.jumps(steps)).float()}


def jumped(t, r):
    return {(float(a), float(b)) for a, b in zip(t, r, strict=True) if a < b}


def test_what_is_kept_is_all_but_names_alone():
    model, asked = told_model(), []

    class Watched(FlowMap):
        def field(self, x, t, r, cond):
            asked.append((x, t, r, cond))
            return x

    def watched(model):
        return Watched(model.flow_map.backbone, "linear", "u")

    scans = scans_of(model)
    # There are data of the first category alone.
    data = data_of(model)
    data = Encoded(data.tokens[::2], data.category[::2])
    keeping = Keeping(model, watched(model), data, scans)
    for seed in range(60):
        keeping.loss(model.flow_map, 12, (1, 2, 4)[seed % 3], seeded(seed))
    cond = [cond for *_, cond in asked]
    t, r = (torch.cat([parts[k] for parts in asked]) for k in (1, 2))
    category = torch.cat([each.category for each in cond])
    guidance = torch.cat([each.guidance for each in cond])
    given = torch.cat([each.tokens for each in cond]).flatten(1).any(1)
    is_guided, is_other = guidance > 1, ~given & (category != 0)
    is_plain = ~(given | is_guided | is_other)
    assert (t == r)[is_plain].all()
    for kind, share in ((given, 1 / 3), (is_guided, 1 / 3), (is_other, 1 / 6), (is_plain, 1 / 6)):
        assert kind.float().mean().item() == pytest.approx(share, abs=0.02)
        if kind is not is_plain:
            assert (t < r)[kind].float().mean().item() == pytest.approx(0.65, abs=0.12)
    # Names of a weight next to 1 are free to move with those of none.
    assert (guidance[is_guided].min() >= 1.5, guidance.max() <= 4, guidance.min()) == (1, 1, 1)
    assert (category[is_guided] == 0).all()
    assert (category[given] == ANY).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (category[is_other] == ANY).float().mean().item() == pytest.approx(0.4, abs=0.12)
    # Jumps are those of samples.
    assert jumped(t, r) == {pair for steps in (1, 2, 4) for pair in jumps_of(model, steps)}
    model.config = replace(model.config, restarts=True)
    asked.clear()
    for seed in range(20):
        keeping.loss(model.flow_map, 12, 4, seeded(seed))
    assert jumped(*(torch.cat([parts[k] for parts in asked]) for k in (1, 2))) == jumps_of(model, 4)
    assert {end for _, end in jumps_of(model, 4)} == {1.0}
    model.config = replace(model.config, restarts=False)
    # Without scans anything may jump, and names that have no weight are on the diagonal.
    asked.clear()
    Keeping(model, watched(model), data, None).loss(model.flow_map, 60, 1, seeded())
    ((_, t, r, cond),) = asked
    assert (cond.category[(t < r) & (cond.guidance == 1)] == ANY).all()
    assert cond.category.eq(ANY).sum() == 10
    # Where no weight is read, the diagonal alone.
    plain = tiny_models()["sdf"]
    data = Encoded(torch.randn(20, 4, 7), torch.arange(20) % 2)
    asked.clear()
    Keeping(plain, watched(plain), data, None).loss(plain.flow_map, 9, 2, seeded())
    assert (asked[0][1] == asked[0][2]).all()
    assert Keeping(plain, plain.flow_map, data, None).loss(plain.flow_map, 9, 2, seeded()) == 0


@pytest.mark.parametrize("make", [told_model, lambda: tiny_models()["sdf"]])
def test_a_step_moves_what_it_should(make):
    model = make()
    first, other = model.categories
    scans = scans_of(model) if model.config.transformer.points else None
    trained = sharpening(model, 3, scans, alone=2, emphasis={other: 0.0})
    before = {
        name: [p.clone() for p in part.parameters()]
        for name, part in (("map", trained.flow_map), ("critic", trained.critic))
    }
    steps = []
    trained.run(lambda step, losses: steps.append((step, set(losses))))
    assert steps == [(1, {"critic"}), (2, {"critic"}), (3, {"critic", "map", "kept"})]
    for name, part in (("map", trained.flow_map), ("critic", trained.critic)):
        pairs = zip(part.parameters(), before[name], strict=True)
        moved = [not torch.equal(p, was) for p, was in pairs]
        assert sum(moved) > 0.5 * len(moved), name
    # A category that is never drawn.
    _, cond = trained._draw(seeded())
    assert (cond.category == model.categories.index(first)).all()
    # The model stays.
    fresh = trained.keeping.teacher.state_dict()
    assert all(torch.equal(p, fresh[name]) for name, p in model.flow_map.state_dict().items())


@pytest.mark.parametrize("emphasis", [{"lump": -1.0}, {"lump": 0.0, "chair": 0.0}])
def test_emphasis_that_draws_nothing(emphasis):
    with pytest.raises(ValueError, match="emphasis must be at least 0, and above it for"):
        sharpening(told_model(), 1, emphasis=emphasis)


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True])
def test_samples_come_nearer_to_the_data(restarts):
    model = told_model()
    model.config = replace(model.config, restarts=restarts)
    rates = {"learning_rate": 3e-3, "critic_rate": 3e-3}
    trained = sharpening(model, 500, scans_of(model), batch=32, alone=20, **rates)
    data = trained.data

    def far(flow_map, steps):
        found = []
        for index in (0, 1):
            cond = names(model, torch.full((64,), index))
            noise = torch.randn(64, *data.tokens.shape[1:], generator=seeded(9))
            *_, x = model.states(flow_map, noise, cond, steps=steps)
            found.append(energy_distance(x, data.tokens[data.category == index]))
        return np.mean(found)

    trained.run(lambda step, losses: None)
    kept = trained.kept()
    with torch.no_grad():
        for steps in (1, 2, 4):
            assert far(kept.flow_map, steps) < 0.5 * far(model.flow_map, steps), steps
        x, t = data.tokens[:32], torch.full((32,), 0.5)
        cond = names(model, data.category[:32])
        fields = [each.flow_map.field(x, t, t, cond) for each in (kept, model)]
    # Its ODE follows what is kept of it.
    assert relative_error(*fields) < 0.5


def test_shapes_are_encoded_as_meshes_are():
    model = tiny_models()["sdf"]
    model = model.starting(model.config.with_categories(("chair", "rook")))
    bank, rows = shapes_of(model, "procedural", 3)
    assert len(rows) == 3
    found = encode_shapes(model, bank, rows[1:])
    assert found.category.tolist() == [0, 0]
    points, normals = (
        torch.from_numpy(np.asarray(values[1:3], np.float32))
        for values in (bank.surface, bank.normals)
    )
    tokens = model.encode_mesh_points(points, normals)
    back = model.scale.denormalise(found.tokens, model.frame_for(2))
    torch.testing.assert_close(back, tokens, rtol=1e-4, atol=1e-4)


def test_only_categories_that_the_model_knows(tmp_path):
    model = told_model()
    bank, rows = shapes_of(model, "procedural", 5)
    assert bank.category_names == ("chair",)
    assert len(rows) == 5
    two = load_source("procedural", "table,chair", split="train", num=6)
    for split in ("train", "val", "test"):
        two.save(tmp_path / split)
    bank, rows = shapes_of(model, str(tmp_path), 9)
    assert [bank.category_names[bank.categories[row]] for row in rows] == ["chair"] * 3
    other = model.starting(replace(model.config, categories=("rook", "lump")))
    with pytest.raises(ValueError, match=r"the model knows rook, lump, and .* no category is of"):
        shapes_of(other, str(tmp_path), 9)
    both = model.starting(replace(model.config, categories=("chair", "table")))
    bank, rows = shapes_of(both, "procedural", 4, only=("table",))
    assert (bank.category_names, len(rows)) == (("table",), 4)
    bank, rows = shapes_of(both, str(tmp_path), 9, only=("table",))
    assert [bank.category_names[bank.categories[row]] for row in rows] == ["table"] * 3
    with pytest.raises(ValueError, match="the model knows chair, table; got 'rook'"):
        shapes_of(both, str(tmp_path), 9, only=("rook", "chair"))
    # Before any shape is made.
    with pytest.raises(ValueError, match=r"--only asks for lump, and procedural has chair, .*both"):
        shapes_of(other, "procedural", 10**9, only=("lump",))


def test_a_training_goes_on_to_the_bit():
    model, rates = told_model(), {"alone": 2, "learning_rate": 3e-3}
    scans = scans_of(model)

    def training(steps):
        made = sharpening(model, 1, scans, **rates)
        made.clock = Level(steps, time.monotonic())
        return made

    def ignored(step, losses):
        pass

    whole = training(6)
    assert whole.run(ignored) == 6
    half = training(4)
    half.run(ignored)
    state = {name: part.clone() for name, part in half.state().items()}
    rest = training(2)
    rest.go_on(state, half.step)
    told = []
    assert rest.run(lambda step, losses: told.append(step)) == 6
    assert told == [5, 6]
    found, wanted = rest.state(), whole.state()
    assert found.keys() == wanted.keys()
    assert {name.partition(".")[0] for name in found} == {
        "map", "critic", "average", "mover/map", "mover/critic"
    }  # fmt: skip
    assert all(torch.equal(part, wanted[name]) for name, part in found.items())


@pytest.mark.parametrize("settles", [False, True])
def test_the_model_nearest_to_held_out_shapes_is_kept(tmp_path, monkeypatch, settles):
    monkeypatch.setattr(Sharpening, "settles", settles)
    model = told_model()
    training = sharpening(model, 4, scans_of(model), alone=0, learning_rate=1e-2)
    held_out = HeldOut(model, Encoded(*(part[:40] for part in vars(data_of(model)).values())))
    progress = Progress(tmp_path, "sharpened", training, held_out)
    kept = []
    # What the second look finds is worse, the third better than all.
    for worse in (0.0, 9.0, -1.0):
        training.run(lambda step, losses: None)
        with torch.no_grad():
            found = held_out.energy(training.average.module)
        progress.held_out = Shifted(held_out.model, held_out.data, worse)
        said = progress.keep({})
        assert said["energies"] == {name: value + worse for name, value in found.items()}
        assert said["energy"] == pytest.approx(np.mean(list(said["energies"].values())))
        kept.append((said["step"], load(tmp_path / "sharpened").card["sharpened"]["steps"]))
        training.clock = Steps(3, time.monotonic())
    # Where goals stay the newest is kept.
    assert kept == [(4, 4), (7, 7 if settles else 4), (10, 10)]
    # The next process knows what was best, and how much time is over.
    other = sharpening(model, 100, scans_of(model))
    again = Progress(tmp_path, "sharpened", other, held_out)
    again.go_on()
    assert (again.least, other.step) == (progress.least, 10)
    fresh = sharpening(model, 1e-9, scans_of(model))
    late = Progress(tmp_path, "sharpened", fresh, held_out)
    with pytest.raises(ValueError, match=r"was trained for \d+ s already: ask for more --seconds"):
        late.go_on()


class Shifted(HeldOut):
    """Held-out shapes that find all samples further away, by so much."""

    def __init__(self, model, data, by):
        super().__init__(model, data)
        object.__setattr__(self, "by", by)

    def energy(self, flow_map):
        return {name: value + self.by for name, value in super().energy(flow_map).items()}


def test_a_critic_that_knows_its_data_by_heart():
    model = told_model()
    data = data_of(model)
    held_out = HeldOut(model, Encoded(data.tokens[:40], data.category[:40]))
    training = Encoded(data.tokens[40:] + 100, data.category[40:])

    def critic(x, t, cond):
        assert (t == 1).all()
        return (x > 50).float().mean((1, 2))[:, None].expand(-1, 2)

    assert held_out.known_by_heart(critic, training) == 1
    # How far samples are from the nearest training shape, where held-out ones are at 1.
    known = data.tokens[40:120]
    near = held_out.distance(model.flow_map, Encoded(known, data.category[40:120]))
    assert set(near) == set(model.categories)
    noise = torch.randn(40, *known.shape[1:], generator=seeded(77))
    with torch.no_grad():
        *_, drawn = model.states(
            model.flow_map, noise, names(model, torch.zeros(40, dtype=torch.long)), steps=2
        )

    def far(x):
        return torch.cdist(x.flatten(1), known[::2].flatten(1)).amin(1).median()

    expected = far(drawn) / far(held_out.data.tokens[::2])
    assert near[model.categories[0]] == pytest.approx(float(expected), rel=1e-4)
    assert held_out.known_by_heart(critic, held_out.data) == 0
    with pytest.raises(ValueError, match="held-out shapes must be 2 of each category at least"):
        HeldOut(model, Encoded(data.tokens[:3], data.category[:3]))


@pytest.mark.slow
def test_the_commands_write_a_model_by_two_processes(tmp_path):
    model = told_model()
    model.save_pretrained(tmp_path / "start")
    asked = {"out": tmp_path / "out", "model": str(tmp_path / "start")}
    with pytest.raises(FileNotFoundError, match=r"has no data-\*\.npz: `fit_jumps data` writes"):
        SharpenOptions(**asked).run()
    (tmp_path / "out").mkdir()
    for part in (0, 1):
        DataOptions(num=7, part=part, parts=2, **asked).run()
    DataOptions(num=5, split="val", **asked).run()
    assert len(read_data(tmp_path / "out", "data-*.npz").category) == 7
    assert len(read_data(tmp_path / "out", "held-out-*.npz").category) == 5
    with pytest.raises(SystemExit, match="--emphasis rook: the model has no such category"):
        SharpenOptions(emphasis={"rook": 2.0}, **asked).run()
    command = [sys.executable, "-m", "geoflow_tools.fit_jumps", "sharpen", "--seconds", "20"]
    command += ["--batch", "4", "--devices", "2", "--emphasis", "chair", "2"]
    for name, value in asked.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    # Without data it is said in a line.
    empty = [str(tmp_path) if part == str(tmp_path / "out") else part for part in command]
    failed = subprocess.run(empty, capture_output=True, text=True, timeout=300, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    (complaint,) = failed.stderr.strip().splitlines()
    assert complaint.startswith("fit_jumps: ")
    assert "`fit_jumps data` writes them" in complaint
    # One of the two speaks.
    (line,) = done.stdout.strip().splitlines()
    said = json.loads(line)
    assert said == json.loads((tmp_path / "out" / "log.jsonl").read_text())
    made = load(tmp_path / "out" / "sharpened")
    assert made.card["sharpened"] == {"steps": said["step"], "shapes": 7}
    assert networks_apart(made, load(tmp_path / "start")) == {"flow"}
    assert set(said["energies"]) == {"chair"}
    # It goes on where it was ended, if it may take longer.
    failed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "ask for more --seconds" in failed.stderr.strip().splitlines()[-1]
    longer = ["25" if part == "20" else part for part in command]
    done = subprocess.run(longer, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] > said["step"]
