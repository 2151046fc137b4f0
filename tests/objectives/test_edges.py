"""Objectives at the ends of time, along a run, and on frozen maps of other predictions."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from cells import every_cell
from gaussian_cases import FixedPairs, Network, Perturbed, oracle, pairs, states

from geoflow.flow_map import FlowMap
from geoflow.objectives import (
    OBJECTIVES,
    Consistency,
    ConsistencyTrajectory,
    DataFree,
    Eulerian,
    FlowMapMatching,
    FlowMatching,
    Lagrangian,
    NeuralOperator,
    Progressive,
    Weight,
    build_objective,
)
from geoflow.objectives.base import Distillation, field_of
from geoflow.objectives.lagrangian import derivative_end, lagrangian_residual
from geoflow.times import LogitNormalPairs, UniformPairs
from geoflow.training.stages.flow import FlowOptions, current_objective
from geoflow.training.stages.latent_flow import FlowTraining

TIMES = [0.1, 0.3, 0.5, 0.7]
DISTILS = [name for name, kind in OBJECTIVES.items() if issubclass(kind, Distillation)]


@every_cell
def test_the_field_of_a_velocity_is_the_field(path_key, key):
    field, flow_map = oracle(path_key, key)
    x, t, _, _ = states(field)
    m = field.instantaneous(x, t)
    velocity = flow_map.prediction.velocity(m, x, t)
    again = flow_map.prediction.of_velocity(velocity, x, t)
    assert ((again - m) / (1 + m.abs())).abs().max() < 1e-9


@pytest.mark.parametrize("path_key", ["linear", "trigonometric", "ve"])
def test_the_lagrangian_residual_of_data_has_a_limit_at_the_data(path_key):
    """It is psi - m_1(psi) at r = 1, towards which it goes; exact maps have none of it."""
    field, flow_map = oracle(path_key, "x1")
    wrong = FlowMap(Perturbed(field, torch.tensor(0.1)), flow_map.interpolant, "x1")
    x, t, _, _ = states(field)
    for maps, least in ((flow_map, 0.0), (wrong, 1e-3)):
        found = []
        for end in (1.0, 1 - 1e-7):
            r = torch.full_like(t, end)
            state, derivative = derivative_end(maps, x, t, r)
            found.append(lagrangian_residual(maps, state, derivative, maps.field(state, r, r), r))
        assert found[0].isfinite().all()
        torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)
        assert found[0].abs().mean() >= least
        if not least:
            assert found[0].abs().max() < 1e-6
    losses = Lagrangian(times=UniformPairs(diagonal=0.5, end=0.4))(flow_map, *pairs(400))
    assert losses.total.isfinite().all()


@pytest.mark.parametrize("teacher", ["x1", "u", "v", "x0"])
@pytest.mark.parametrize("student", ["x1", "u", "v"])
@pytest.mark.parametrize("name", ["lagrangian", "eulerian", "progressive"])
def test_an_exact_teacher_of_any_prediction_is_at_rest(name, student, teacher):
    """Its field is read in the student's units; as it is, it would be another field."""
    _, exact = oracle("trigonometric", student)
    _, frozen = oracle("trigonometric", teacher)
    objective = replace(OBJECTIVES[name](times=FixedPairs(TIMES, 0.9)), frozen=frozen)
    assert objective(exact, *pairs(400)).terms["map"].max() < 1e-10
    if teacher != student:
        t = torch.full((400,), 0.4, dtype=torch.float64)
        x = pairs(400)[0]
        read, raw = field_of(frozen, exact, x, t), frozen.field(x, t, t)
        assert (read - raw).abs().mean() > 0.05


def test_a_teacher_without_a_velocity_there_is_refused():
    frozen, flow_map = oracle("linear", "x1")[1], oracle("linear", "u")[1]
    objective = Lagrangian(frozen=frozen, times=UniformPairs(diagonal=0.0, end=1.0))
    with pytest.raises(ValueError, match="a x1 map has no velocity at an end"):
        objective(flow_map, *pairs(400))


@pytest.mark.parametrize("name", DISTILS)
def test_a_teacher_on_another_path_is_refused(name):
    objective = OBJECTIVES[name]().distilling(oracle("vp", "x1")[1])
    with pytest.raises(ValueError, match="cannot be distilled into one on"):
        objective(oracle("linear", "x1")[1], *pairs(400))


def test_both_times_of_flow_map_matching_keep_from_the_data():
    """Predictions of data divide by alpha at either of the two."""

    class Watching(Network):
        """A network that remembers its latest time."""

        latest = 0.0

        def forward(self, x, t, r, cond=None):
            """The network."""
            self.latest = max(self.latest, t.max().item(), r.max().item())
            return super().forward(x, t, r, cond)

    network = Watching()
    losses = FlowMapMatching()(FlowMap(network, "linear", "x1"), *pairs(4000))
    assert 0.9 < network.latest <= 0.95
    assert losses.total.isfinite().all()
    # An end that is asked for is not moved.
    FlowMapMatching(times=UniformPairs(end=0.5))(FlowMap(network, "linear", "u"), *pairs(400))
    assert network.latest == 1.0


def test_what_is_known_to_train_badly_is_said():
    velocity = Weight(space="velocity")
    maps = {key: FlowMap(Network(), "linear", key) for key in ("u", "x1")}
    assert "without bound" in Lagrangian(weight=velocity).caution(maps["x1"])
    assert "heavy-tailed" in FlowMapMatching().caution(maps["x1"])
    for objective in (Lagrangian(), FlowMatching(weight=velocity), FlowMatching()):
        assert objective.caution(maps["x1"]) is None
    for objective in (Lagrangian(weight=velocity), FlowMapMatching()):
        assert objective.caution(maps["u"]) is None


def test_the_warm_up_keeps_times_and_weights():
    options = FlowTraining(
        steps=100, times="logit-normal", weight_space="velocity", weight_power=0.5
    )
    objective = options.build_objective()
    warm_up, later = (current_objective(objective, options, step) for step in (0, 99))
    assert isinstance(warm_up, FlowMatching)
    assert warm_up.weight == objective.weight == Weight(space="velocity", power=0.5)
    assert warm_up.times == LogitNormalPairs(diagonal=1.0, end=objective.times.end)
    assert later == objective
    # By default it is what it was.
    plain = current_objective(build_objective("shortcut"), FlowTraining(), 0)
    flow_map, ends = FlowMap(Network(), "linear", "u"), pairs(400)
    totals = [
        o(flow_map, *ends, generator=torch.Generator().manual_seed(0)).total
        for o in (plain, FlowMatching())
    ]
    assert torch.equal(*totals)


def test_the_step_of_consistency_falls_along_the_run():
    options = FlowOptions(steps=1000, diagonal_first=0.2)
    steps = [
        current_objective(Consistency(), options, step).step for step in (200, 400, 600, 800, 999)
    ]
    assert steps[0] == pytest.approx(0.05)
    ratios = [b / a for a, b in pairwise(steps[:-1])]
    assert ratios == pytest.approx([10**-0.25] * 3)
    assert steps[-1] == pytest.approx(0.005, rel=0.01)
    constant = Consistency(last_step=None)
    assert current_objective(constant, options, 999) is constant
    with pytest.raises(ValueError, match="last_step must be in"):
        Consistency(last_step=0.0)


@pytest.mark.parametrize("is_distilled", [False, True])
def test_the_map_at_rest_is_off_by_the_step_of_consistency(is_distilled):
    """Along a perturbation that falls to zero at the data the gradient vanishes O(h) from 0."""
    field, exact = oracle("linear", "x1")
    x0, x1 = pairs()

    class Fading(Perturbed):
        """A perturbation that falls to zero at the data."""

        def forward(self, x, t, r, cond=None):
            """The perturbed field."""
            return self.field(x, t, r, cond) + self.size * (1 - t)[:, None] * (0.3 + x)

    def slope(at, h):
        size = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        objective = Consistency(
            step=h, frozen=exact if is_distilled else None, times=FixedPairs(TIMES, 1.0)
        )
        total = objective(FlowMap(Fading(field, size), exact.interpolant, "x1"), x0, x1).total
        (gradient,) = torch.autograd.grad(total.mean(), size)
        return gradient.item()

    rests = []
    for h in (0.08, 0.04, 0.02):
        low, high = slope(0.0, h), slope(0.1, h)
        rests.append(-0.1 * low / (high - low))
    assert all(abs(rest) > 1e-3 for rest in rests)
    assert rests[0] / rests[1] == pytest.approx(2, abs=0.5)
    assert rests[1] / rests[2] == pytest.approx(2, abs=0.5)


@pytest.mark.parametrize("kind", [Consistency, ConsistencyTrajectory, NeuralOperator])
def test_states_of_a_teacher_need_no_conversion(kind):
    """These compare where states lead: a teacher of another prediction is read as it is."""
    _, exact = oracle("linear", "x1")
    losses = [
        kind(frozen=oracle("linear", key)[1], times=UniformPairs(diagonal=0.0))(
            exact, *pairs(400), generator=torch.Generator().manual_seed(0)
        ).total.mean()
        for key in ("x1", "v")
    ]
    assert losses[0] < 0.02
    assert losses[1] < 0.02


def test_distillation_without_data_reads_none():
    """With a teacher the losses are functions of noise alone; exact maps have none."""
    _, exact = oracle("linear", "u")
    x0, x1 = pairs(400)
    objective = DataFree(frozen=exact, times=UniformPairs(diagonal=0.5))
    network = FlowMap(Network(), "linear", "u")
    found = [
        objective(network, x0, data, generator=torch.Generator().manual_seed(0)).total
        for data in (x1, 1 - 2 * x1)
    ]
    assert torch.equal(*found)
    losses = objective(exact, x0, x1, generator=torch.Generator().manual_seed(0))
    assert losses.total.max() < 1e-12 < 1e-3 < found[0].mean()
    # Its own diagonal needs them.
    own = [
        DataFree()(network, x0, data, generator=torch.Generator().manual_seed(0)).total
        for data in (x1, 1 - 2 * x1)
    ]
    assert not torch.equal(*own)
    with pytest.raises(ValueError, match="Noise prediction cannot start at time"):
        objective(FlowMap(Network(), "linear", "x0"), x0, x1)


def test_objectives_stay_as_they_are_along_a_run():
    for kind in (Eulerian, Progressive):
        objective = kind()
        assert objective.at(0.5) is objective
