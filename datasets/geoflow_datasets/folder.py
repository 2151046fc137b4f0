"""One preparation of folders of files: digest, process in processes, report, bank.

What differs between kinds of files is a `Preparation`; its bank and a report per file are cached
under all that they depend on: the files' paths, categories and contents, every option, and the
version of the processing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from rich.progress import track

from geoflow.atomic import reading
from geoflow.geometry.read_mesh import GLTF, mesh_content
from geoflow.models.config import from_json
from geoflow_datasets.bank import CARD, Bank, cache_folder
from geoflow_datasets.bank_writer import Card, write_kept
from geoflow_datasets.digest import digest, seed_of
from geoflow_datasets.layouts import ALL, SPLITS, category_of, find_files
from geoflow_datasets.request import Request
from geoflow_datasets.splits import own_split, splits_of, unknown_names
from geoflow_datasets.workers import map_in_processes

_REPORT = "report.json"


@dataclass(frozen=True)
class Report:
    """What became of one file; a subclass says how."""

    name: str
    category: str
    refused: str | None = None


B = TypeVar("B", bound=Bank)
R = TypeVar("R", bound=Report)
P = TypeVar("P")
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Preparation(Generic[P, R, B]):
    """How files of a kind become a bank, with options of type P."""

    kind: str
    """What the files are called in messages and in the cache."""
    version: int
    """Raised when the processing changes, so that no old bank is met."""
    suffixes: tuple[str, ...]
    bank: type[B]
    report: type[R]
    process: Callable[[Path, P, np.random.Generator], tuple[Mapping[str, Any], Arrays]]
    """What the report says of one file, and its arrays; ValueError says why it is refused."""
    summary: Callable[[Sequence[R]], str]
    """A few words on the files that were taken."""
    files_per_process: int
    """Fewer are not worth a process's start."""


def load_folder(
    preparation: Preparation[P, R, B],
    folder: Path,
    options: P,
    *,
    category: str = ALL,
    split: str = "train",
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> B:
    """The shapes of one split; a split without any is the whole folder.

    Args:
        preparation: what is made of a file.
        folder: files directly inside, or in one folder per category.
        options: of the preparation.
        category: a category, several joined by commas, or "all".
        split: "train", "val" or "test".
        cache: where the bank is kept.
        num_workers: processes; default: one per core.
        show_progress: draw a progress bar.

    Raises:
        ValueError: if the folder is missing, has no files of the category, or all are refused;
            if its splits or groups are of other files.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    _unknown_names(preparation, folder)
    prepared = prepare_folder(
        preparation,
        folder,
        options,
        category=category,
        cache=cache,
        num_workers=num_workers,
        show_progress=show_progress,
    )
    bank = preparation.bank.load(prepared)
    splits = splits_of(folder, bank.names, bank.surface)
    chosen = [i for i, found in enumerate(splits) if found == split]
    # A small folder has nothing to hold out: its own shapes stand in.
    return bank.subset(chosen or range(len(bank)))


def prepare_folder(
    preparation: Preparation[P, R, B],
    folder: Path,
    options: P,
    *,
    category: str = ALL,
    cache: Path | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> Path:
    """Process the files unless that was done; the folder of bank and reports.

    Raises:
        ValueError: as `load_folder`.
    """
    files = find_files(folder, category, suffixes=preparation.suffixes, kind=preparation.kind)
    # Shapes of a split that the folder names are neighbours, which are not read to be chosen.
    files.sort(key=lambda path: own_split(path.relative_to(folder).as_posix()) or "")
    # Files directly inside have the category that is asked for.
    named = [(path, category_of(folder, path) or category) for path in files]
    key = _key(preparation, folder, options, named)
    target = (cache or cache_folder()) / preparation.kind / key
    if (target / CARD).is_file():
        return target
    work = partial(_process, preparation=preparation, options=options, folder=folder)
    most = max(len(files) // preparation.files_per_process, 1)
    workers = min(num_workers or os.cpu_count() or 1, most)
    reports: list[R] = []
    with closing(map_in_processes(work, named, workers)) as done:
        shown = track(
            done, total=len(files), description=preparation.kind, disable=not show_progress
        )
        kept = _kept(shown, reports)
        first = next(kept, None)
        if first is None:
            raise ValueError(
                f"all {len(reports)} {preparation.kind} of {folder} were refused; "
                f"{reports[0].name}: {reports[0].refused}"
            )
        write_kept(target, chain([first], kept), most=len(files), card=lambda: _card(reports))
    return target


def _kept(results: Iterable[tuple[R, Arrays | None]], reports: list[R]) -> Iterator[Arrays]:
    """The arrays of files that were taken, as they come; every file's report goes to the list."""
    for report, arrays in results:
        reports.append(report)
        if arrays is not None:
            yield arrays


def _card(reports: Sequence[Report]) -> Card:
    taken = [report for report in reports if report.refused is None]
    names = sorted({report.category for report in taken})
    return Card(
        names=[report.name for report in taken],
        categories=[names.index(report.category) for report in taken],
        category_names=names,
        texts={_REPORT: json.dumps([asdict(report) for report in reports], indent=2)},
    )


def load_request(preparation: Preparation[P, R, B], request: Request, options: P) -> B:
    """The shapes that are asked for; ValueError as `load_folder`."""
    return load_folder(
        preparation,
        request.path,
        options,
        category=request.category,
        split=request.split,
        cache=request.cache,
        show_progress=request.show_progress,
    )


def describe_request(preparation: Preparation[P, R, B], request: Request, options: P) -> str:
    """What became of every file, and what the folder's own splits and groups name in vain.

    Raises:
        ValueError: as `load_folder`.
    """
    folder = request.path
    prepared = prepare_folder(
        preparation, folder, options, category=request.category, cache=request.cache
    )
    said = summarise_reports(preparation, load_reports(preparation, prepared))
    return "\n".join([said, *_unknown_names(preparation, folder)])


def _unknown_names(preparation: Preparation[P, R, B], folder: Path) -> list[str]:
    files = find_files(folder, ALL, suffixes=preparation.suffixes, kind=preparation.kind)
    return unknown_names(folder, [path.relative_to(folder).as_posix() for path in files])


def load_reports(preparation: Preparation[P, R, B], prepared: Path) -> list[R]:
    """One report per file, from a folder that `prepare_folder` gave.

    Raises:
        DamagedError: if they cannot be read.
    """
    path = prepared / _REPORT
    with reading(path):
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [from_json(preparation.report, entry) for entry in entries]


def summarise_reports(preparation: Preparation[P, R, B], reports: Sequence[R]) -> str:
    """How many files were taken, in a few words how, and every refusal with its reason."""
    taken = [report for report in reports if report.refused is None]
    refused = [report for report in reports if report.refused is not None]
    said = preparation.summary(taken)
    lines = [f"{len(taken)} {preparation.kind} ({said}), {len(refused)} refused"]
    return "\n".join([*lines, *(f"  {report.name}: {report.refused}" for report in refused)])


def _key(
    preparation: Preparation[P, R, B], folder: Path, options: P, named: Sequence[tuple[Path, str]]
) -> str:
    entries = tuple(
        (path.relative_to(folder).as_posix(), category, _stamp(path)) for path, category in named
    )
    about = (str(preparation.version), repr(options))
    # What lies beside a .gltf has no entry here.
    is_whole = all(path.suffix.lower() != GLTF for path, _ in named)
    return f"{folder.name}-{(_digest if is_whole else _digest.__wrapped__)(folder, about, entries)}"


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; nothing of one that cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


# A run asks for one folder split by split: its files are read once.
@lru_cache(maxsize=4)
def _digest(
    folder: Path, about: tuple[str, ...], entries: tuple[tuple[str, str, tuple[int, ...]], ...]
) -> str:
    """Of all that a bank depends on; in memory is one file at a time."""

    def parts() -> Iterator[str | bytes]:
        yield from about
        for name, category, _ in entries:
            yield name
            yield category
            yield _content(folder / name)

    return digest(parts())


def _content(path: Path) -> bytes:
    """Of a file with its data; nothing of one that cannot be read, which is refused later."""
    try:
        return mesh_content(path)
    except OSError:
        return b""


def _process(
    file: tuple[Path, str], *, preparation: Preparation[P, R, B], options: P, folder: Path
) -> tuple[R, Arrays | None]:
    path, category = file
    name = path.relative_to(folder).as_posix()
    rng = np.random.default_rng(seed_of(name))
    try:
        details, arrays = preparation.process(path, options, rng)
    except ValueError as error:
        return preparation.report(name, category, refused=str(error)), None
    except Exception as error:  # One file must not end the folder's run, whatever is wrong with it.
        reason = f"it cannot be processed: {type(error).__name__}: {error}"
        return preparation.report(name, category, refused=reason), None
    return preparation.report(name, category, **details), arrays
