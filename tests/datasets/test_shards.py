"""Rows of shards, read by several at once."""

import gc
import multiprocessing
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geoflow_datasets.prepared.shards import ROWS, Shards, _kept_open


def written(folder):
    shards = Shards(folder)
    shards.write({place: {"number": np.full((500,), place, np.int64)} for place in range(ROWS)})
    return shards


def wrong_rows(shards, seed):
    places = np.random.default_rng(seed).integers(ROWS, size=4000).tolist()
    return int((shards.rows(places, "number") != np.array(places)[:, None]).sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are not forked here")
def test_workers_that_were_forked_read_their_own_rows(tmp_path):
    shards = written(tmp_path)
    # The file is open when they begin, as it is once a trainer has looked at the data.
    assert wrong_rows(shards, 0) == 0
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.starmap(wrong_rows, [(shards, seed) for seed in range(8)]) == [0] * 8


def test_threads_read_their_own_rows(tmp_path):
    shards = written(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: wrong_rows(shards, seed), range(8))) == [0] * 8


def test_a_folder_that_is_made_anew_is_read_anew(tmp_path):
    assert written(tmp_path).read(3, "number")[0] == 3
    shutil.rmtree(tmp_path)
    Shards(tmp_path).write({3: {"number": np.full((500,), 7, np.int64)}})
    assert Shards(tmp_path).read(3, "number")[0] == 7


def test_files_that_are_forgotten_are_closed_without_a_warning(tmp_path):
    shards = written(tmp_path)
    shards.read(3, "number")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        _kept_open.cache_clear()
        gc.collect()
    assert warned == []
