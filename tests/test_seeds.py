"""Seeds: every one from 0 to 2^63 - 1 has noise of its own, and nothing else is one."""

import numpy as np
import pytest
import torch

from geoflow.seeds import MAX_SEED, check_seed, seeded_generator, step_generator
from geoflow_cli import main
from geoflow_cli.checks import MOST

LARGE = (2**32, 2**32 + 1, 2**33, 2**62, MAX_SEED)


def first(generator):
    return tuple(torch.randint(2**31, (4,), generator=generator).tolist())


def test_no_two_seeds_are_one():
    """What torch itself does is the twin: it reads 32 bits."""
    seeds = (0, 1, 2**31, 2**32 - 1, *LARGE)
    assert len({first(seeded_generator(seed)) for seed in seeds}) == len(seeds)
    drawn = {first(step_generator(seed, "sample", i)) for seed in seeds for i in (0, 1)}
    assert len(drawn) == 2 * len(seeds)
    assert first(torch.Generator().manual_seed(2**32)) == first(torch.Generator().manual_seed(0))


def test_short_seeds_are_those_of_before():
    assert first(seeded_generator(7)) == first(torch.Generator().manual_seed(7))
    # The congruential mix of 7, "sample" and 3.
    mixed = torch.Generator().manual_seed(2210746348043028488)
    assert first(step_generator(7, "sample", 3)) == first(mixed)


def test_long_seeds_have_the_whole_state_of_numpys_twister():
    generator, twister = seeded_generator(2**40), np.random.MT19937(np.random.SeedSequence([2**40]))
    # Of a fresh state numpy gives the last word, too, before the first turn; torch reads pairs.
    raw = twister.random_raw(2001)[1:].astype(np.int64)
    words = torch.randint(2**32, (1000,), generator=generator, dtype=torch.int64)
    np.testing.assert_array_equal(words.numpy(), raw[1::2])


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_what_is_no_seed_is_refused(seed):
    for make in (check_seed, seeded_generator, lambda s: step_generator(s, "sample", 0)):
        with pytest.raises(ValueError, match="seed must be from 0 to 9223372036854775807"):
            make(seed)


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "--seed", "-1"),
        ("sample", "--seed", str(MAX_SEED + 1)),
        ("sample", "--num", str(10**15)),
        ("sample", "--steps", "100000"),
        ("sample", "--model", "airplane", "--points", str(10**12)),
        ("train", "--seed", "-1"),
        ("train", "--num-shapes", str(10**15)),
        ("view", "--seed", str(2**64)),
        ("view", "--to-seed", "-1"),
        ("evaluate", "--reference", "chair", "--model", "chair", "--num", str(10**15)),
        ("evaluate", "--reference", "chair", "--model", "chair", "--points", str(10**12)),
    ],
)
def test_absurd_numbers_are_one_line(tmp_path, words, capsys):
    out = tmp_path / ("a.json" if words[0] == "evaluate" else "a.ply")
    assert main([*words, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words[-2] in line
    assert " at " in line or " from " in line
    assert not any(tmp_path.iterdir())


def test_the_command_line_knows_the_largest_seed():
    assert MOST["seed"] == MAX_SEED
