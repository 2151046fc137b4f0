"""The files of a source, wherever they lie: in a folder, in an archive, in archives of a folder.

Archives are read in place. An item's name is its path as if everything were unpacked: the layouts
of `layouts` hold inside archives too. A single folder around all of an archive's content is left
out, unless its name is a category.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from geoflow.geometry.gltf_buffers import packed
from geoflow.geometry.read_mesh import GLTF, mesh_content
from geoflow_datasets.attribution import Credit, write_attribution
from geoflow_datasets.classes import class_of
from geoflow_datasets.files import files_in
from geoflow_datasets.furniture import CATALOGUE, read_catalogue
from geoflow_datasets.layouts import SYNSETS

ZIPS, TARS = (".zip", ".sh3f"), (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_FURNITURE = ".sh3f"
# Characters of what went wrong that a line repeats; it may quote the archive's content.
_SAID = 200


@dataclass(frozen=True)
class Item:
    """One file of a source."""

    name: str
    """Its path inside the source, as if archives were folders."""
    stamp: str
    """Another one where the file may have changed, told without reading it; "" where it cannot be
    told: the data of a .gltf lies in other files."""
    size: int
    """Bytes."""
    file: Path
    """The file itself, or the archive that holds it."""
    member: str | None = None
    """Its name in the archive."""
    turn: tuple[float, ...] | None = None
    """Rows of the matrix that stands it up, where a catalogue gives one."""


class Collection:
    """The files of a source.

    Args:
        source: a folder or an archive.

    Raises:
        ValueError: if it is neither.
    """

    def __init__(self, source: Path) -> None:
        if not source.is_dir() and not (source.is_file() and is_archive(source)):
            raise ValueError(
                f"SRC must be a folder or an archive ({', '.join((*ZIPS, *TARS))}), got {source}"
            )
        self.source = source
        self.credits: list[Credit] = []
        """Of what catalogues list."""
        self._open: tuple[Path, zipfile.ZipFile | tarfile.TarFile] | None = None

    def items(self, suffixes: tuple[str, ...]) -> list[Item]:
        """Files of the suffixes, in an order that is always the same.

        Raises:
            ValueError: if two have one name, or an archive cannot be read.
        """
        self.credits.clear()
        found = [i for i in self._all() if PurePosixPath(i.name).suffix.lower() in suffixes]
        found = [replace(i, stamp="") if _has_data_beside(i.name) else i for i in found]
        names: dict[str, Item] = {}
        for item in found:
            other = names.setdefault(item.name, item)
            if other is not item:
                raise ValueError(
                    f"{other.file} and {item.file} both hold {item.name}: "
                    "prepare them into folders of their own"
                )
        return found

    def read(self, item: Item) -> bytes:
        """The content of a file; a .gltf has the data beside it in it.

        Raises:
            OSError: if it cannot be read.
        """
        if item.member is None:
            return mesh_content(item.file)
        with _understood(item.file, OSError):
            content = self._member(item.file, item.member)
            if not _has_data_beside(item.name):
                return content
            above = PurePosixPath(item.member).parent
            return packed(content, lambda name: self._member(item.file, str(above / unquote(name))))

    def copy_notes(self, names: tuple[str, ...], folder: Path) -> None:
        """Write the texts of these names, from the source's root, beside what is made of it."""
        self.credits.clear()
        for item in self._all():
            if item.name in names:
                (folder / item.name).write_bytes(self.read(item))
        if self.credits:
            write_attribution(folder, sorted(self.credits, key=lambda credit: credit.file))

    def close(self) -> None:
        """Close the archive that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _all(self) -> Iterator[Item]:
        if self.source.is_file():
            yield from self._inside(self.source, "", is_alone=True)
            return
        for path in files_in(self.source):
            name = path.relative_to(self.source).as_posix()
            if is_archive(path):
                yield from self._inside(path, name, is_alone=False)
            else:
                yield Item(name, stamp_of(path), path.stat().st_size, path)

    def _inside(self, path: Path, name: str, *, is_alone: bool) -> Iterator[Item]:
        """The files of an archive that lies at `name` in the source."""
        with _understood(path, ValueError):
            archive = self._archive(path)
            if path.suffix.lower() == _FURNITURE and isinstance(archive, zipfile.ZipFile):
                listed = list(self._furniture(path, archive))
            else:
                listed = None
                members = list(_members(archive, stamp_of(path)))
        if listed is not None:
            yield from listed
            return
        above = PurePosixPath(name).parent
        root = _common_root([member for member, _, _ in members])
        if root is not None and is_alone:
            inner = "" if root in SYNSETS else root
        else:
            inner = ""
            # What has no folder around it lies in one of the archive's name.
            above = above if root is not None or is_alone else above / path.name.split(".")[0]
        for member, stamp, size in members:
            inside = PurePosixPath(member)
            inside = inside.relative_to(inner) if inner else inside
            yield Item((above / inside).as_posix(), stamp, size, path, member)

    def _furniture(self, path: Path, archive: zipfile.ZipFile) -> Iterator[Item]:
        """The models of a catalogue, in categories by the words of their names."""
        held = {info.filename: info for info in archive.infolist()}
        for entry in read_catalogue(archive.read(CATALOGUE)):
            info = held.get(entry.model)
            if info is None:
                continue
            inside = PurePosixPath(entry.model)
            # The archive comes last: a name's last word makes no family.
            place = f"{inside.stem}-{path.stem.lower().replace('-', '')}{inside.suffix}"
            name = f"{class_of(entry.name)}/{place}"
            self.credits.append(Credit(name, entry.name, entry.creator, entry.licence))
            stamp = f"{info.CRC:08x}-{info.file_size}-{entry.rotation}"
            yield Item(name, stamp, info.file_size, path, entry.model, entry.rotation)

    def _member(self, path: Path, name: str) -> bytes:
        archive = self._archive(path)
        if isinstance(archive, zipfile.ZipFile):
            return archive.read(name)
        opened = archive.extractfile(name)
        if opened is None:
            raise ValueError(f"{name} is no file")
        return opened.read()

    def _archive(self, path: Path) -> zipfile.ZipFile | tarfile.TarFile:
        if self._open is None or self._open[0] != path:
            self.close()
            is_zip = path.suffix.lower() in ZIPS
            opened = zipfile.ZipFile(path) if is_zip else tarfile.open(path)  # noqa: SIM115
            self._open = (path, opened)
        return self._open[1]


@contextmanager
def _understood(path: Path, raised: type[Exception]) -> Iterator[None]:
    """Whatever goes wrong with an archive is one line: there are as many ways as in a damaged one.

    Raises:
        Exception: of the type given.
    """
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split())[:_SAID]
        raise raised(f"{path} cannot be read as an archive: {said}") from error


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.name.lower().endswith((*ZIPS, *TARS))


def _has_data_beside(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == GLTF


def stamp_of(path: Path) -> str:
    """Size and times of a file."""
    entry = path.stat()
    return f"{entry.st_size}-{entry.st_mtime_ns}-{entry.st_ctime_ns}"


def _members(
    archive: zipfile.ZipFile | tarfile.TarFile, stamp: str
) -> Iterator[tuple[str, str, int]]:
    """Name, stamp and size of each file, in the archive's order, in which it is read."""
    if isinstance(archive, zipfile.ZipFile):
        for info in archive.infolist():
            if not info.is_dir() and not _is_foreign(info.filename):
                # The zip knows a checksum: what is added beside it changes nothing.
                yield info.filename, f"{info.CRC:08x}-{info.file_size}", info.file_size
        return
    for member in archive:
        if member.isfile() and not _is_foreign(member.name):
            yield member.name, f"{stamp}-{member.offset}", member.size


def _is_foreign(name: str) -> bool:
    """What macOS adds."""
    return "__MACOSX/" in name or PurePosixPath(name).name.startswith("._")


def _common_root(names: list[str]) -> str | None:
    """The one folder that holds all files, or None."""
    roots = {PurePosixPath(name).parts[0] for name in names}
    is_folder = all(len(PurePosixPath(name).parts) > 1 for name in names)
    return roots.pop() if len(roots) == 1 and is_folder else None
