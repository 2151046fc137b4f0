"""numpy's files, whose headers are believed only as far as the file reaches.

numpy makes room for what a header says before it reads a number of it.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib

import numpy as np

MOST_BYTES = 2**33
"""Of the arrays of one .npz file, unpacked."""
_LONGEST_REASON = 200


def load_npy(file: io.BufferedIOBase, size: int) -> np.ndarray:
    """The array of a .npy file, or of a member of an .npz file.

    Args:
        file: at its beginning.
        size: bytes that it has in all.

    Raises:
        ValueError: if it is damaged, holds objects, or says more than it has.
    """
    shape, is_fortran, dtype = npy_header(file, size)
    array = np.frombuffer(file.read(), dtype)
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)


def npy_header(file: io.BufferedIOBase, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape of a .npy file's array, whether it lies in Fortran's order, and the type of its parts.

    Args:
        file: at its beginning; on return, at the first number.
        size: bytes that it has in all.

    Raises:
        ValueError: if it is damaged, holds objects, or says another size than it has.
    """
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"its format is {version}, expected 1.0 or 2.0")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds objects, expected numbers or words")
    needed, has = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or needed != has:
        raise ValueError(f"its header says an array of shape {shape}, its content differs")
    return shape, is_fortran, dtype


def load_npz(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name.

    Raises:
        ValueError: if it is damaged, or larger than MOST_BYTES.
    """
    try:
        with zipfile.ZipFile(file) as members:
            infos = members.infolist()
            if sum(info.file_size for info in infos) > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
            arrays = {}
            for info in infos:
                content = io.BytesIO(members.read(info))
                arrays[info.filename.removesuffix(".npy")] = load_npy(content, info.file_size)
            return arrays
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # It may quote whatever stands where a name should.
        raise ValueError(f"it is no whole .npz file: {str(error)[:_LONGEST_REASON]}") from error
