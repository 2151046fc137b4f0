"""The command line of each kind of model: a room has the options of `train` and `sample`, and both.

A room offers

    Train, Sample             options; Sample is None where a kind has no samples
    check(options, given)     what is wrong, before anything slow; OSError, ValueError or UsageError
    default_folder(options)   name of the run folder in runs/
    data_of(options)          the run's DataConfig
    load(data, show)          the data of a run, as Loaded
    config(options, data, loaded)     the run's RunConfig
    fit_to(loaded, config)    the data as the run's model needs them
    hint(folder, config)      the command that one would try next
    check_sample(options, file)       what is wrong for this model, before its weights are read
    sample(options, model)    make, write, and say what was made
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Loaded:
    """The data of a run."""

    train: Any
    """As the kind's stages take them."""
    validation: Any
    """Held out, as the kind's validation takes them."""
    bank: Any = None
    """The training data as they are, before small categories come several times."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the model's card says of them."""
    said: str = ""
    """What the user is told of them."""
