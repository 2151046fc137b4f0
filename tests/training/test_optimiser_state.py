"""A stored state that no optimiser leaves is refused before a step is taken with it."""

import pytest
import torch

from geoflow.training.optimisation import Optimiser, Schedule


def stepped():
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimiser = Optimiser(network, Schedule())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step(0, 10)
    return network, optimiser


@pytest.mark.parametrize("moment", ["step", "exp_avg_sq"])
def test_what_is_never_negative_is_refused_below_0(moment):
    network, optimiser = stepped()
    state = optimiser.state_tensors()
    fresh = Optimiser(network, Schedule())
    fresh.load_state_tensors(state)
    (key,) = [key for key in state if key.endswith(f"bias/{moment}")]
    with pytest.raises(ValueError, match=f"bias/{moment}' is below 0"):
        fresh.load_state_tensors(state | {key: -state[key] - 1})
    # The mean of gradients may be of either sign.
    fresh.load_state_tensors(state | {"bias/exp_avg": -state["bias/exp_avg"]})
