"""A run that is killed between two checkpoints, and goes on."""

import torch

from geoflow.models.kinds import load
from geoflow.training.run import Run


def assert_goes_on_to_the_same_bits(whole, config, bank, folder):
    """Of six steps with a checkpoint after every second: the autoencoder ends as in `whole`."""
    for progress in Run.create(folder, config).train(bank):
        if progress.step == 3:
            break
    assert [p.step for p in Run.open(folder).train(bank)] == [3, 4, 5, 6]
    expected, ended = (load(run).autoencoder.state_dict() for run in (whole, folder))
    assert expected.keys() == ended.keys()
    assert all(torch.equal(ended[name], value) for name, value in expected.items())
