"""The critic of tokens: invariant, begun as the network of a flow, and apart from it."""

import pytest
import torch
from torch import nn

from geoflow.backbones import TokenTransformer, TransformerConfig
from geoflow.backbones.token_critic import TokenCritic
from geoflow.condition import Condition
from geoflow.symmetry import FRAME_SIZES, upright_frame
from geoflow.testing import assert_equivariant, rotate_points, rotate_tokens

BATCH = 4
FLOW = {
    "num_tokens": 3, "scalars": 4, "vectors": 2, "width": 32, "vector_width": 4, "heads": 4,
    "blocks": 3, "condition_width": 16,
}  # fmt: skip


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def flow_network(symmetry="frame"):
    torch.manual_seed(0)
    network = TokenTransformer(TransformerConfig(frame_size=FRAME_SIZES[symmetry], **FLOW))
    for parameter in network.parameters():  # Zero-initialised parts would hide their errors.
        nn.init.normal_(parameter, std=0.2)
    return network.double()


@pytest.mark.parametrize("symmetry", FRAME_SIZES)
def test_its_numbers_stay_when_tokens_and_frame_turn(symmetry):
    critic = TokenCritic(flow_network(symmetry), (1, 3)).double()
    x, t = normal(BATCH, 3, 10, seed=5), torch.rand(BATCH, dtype=torch.float64)
    frame = upright_frame(symmetry, BATCH)
    frame = None if frame is None else frame.double()
    judged = critic(x, t, Condition(frame))
    assert judged.shape == (BATCH, 2)
    assert judged.std(0).min() > 1e-4

    def compare(rotation):
        turned = None if frame is None else rotate_points(frame, rotation)
        return critic(rotate_tokens(x, rotation, scalars=4), t, Condition(turned)), judged

    assert_equivariant(
        compare, num=BATCH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def test_it_begins_as_the_network_and_moves_alone():
    network = flow_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    critic = TokenCritic(network, (2,)).double()
    x, t = normal(BATCH, 3, 10), torch.rand(BATCH, dtype=torch.float64)
    cond = Condition(upright_frame("frame", BATCH).double())
    s, v, frame, modulation = network.embedded(x, t, t, cond)
    for block in network.blocks[:2]:
        s, v = block(s, v, frame, modulation)
    torch.testing.assert_close(critic(x, t, cond), critic.heads[0](s).mean(1))
    critic(x, t, cond).sum().backward()
    # The last block is not of it, and no weight of it is never used by it.
    assert len(critic.trunk.blocks) == 2
    unused = {name for name, p in critic.named_parameters() if p.grad is None}
    assert all("vector" in name or "down" in name for name in unused), unused
    torch.optim.SGD(critic.parameters(), lr=1.0).step()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("depths", [(), (0, 2), (2, 1), (2, 2), (4,)])
def test_depths_that_the_network_does_not_have(depths):
    with pytest.raises(ValueError, match=r"depths must ascend within 1 and 3, got"):
        TokenCritic(flow_network(), depths)
