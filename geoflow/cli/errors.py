"""The two ways in which a command ends early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(Exception):
    """The arguments are wrong: exit code 2."""


class Failure(Exception):
    """The arguments are right, the work could not be done: exit code 1."""


@contextmanager
def failing() -> Iterator[None]:
    """Turn the library's foreseen errors into one line for the user."""
    from geoflow.checkpoint import CheckpointError
    from geoflow.geometry.extraction import EmptySurfaceError

    try:
        yield
    except (EmptySurfaceError, CheckpointError, FloatingPointError) as error:
        raise Failure(str(error)) from error
    except FileExistsError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise Failure(str(error)) from error


def one_line(message: str) -> str:
    """A boxed message of the argument parser as one line, without its frame.

    Frames are box-drawing characters (U+2500 to U+257F) and, in colour, escape sequences.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    parts = (re.sub(r"[\u2500-\u257f]+", " ", line).strip() for line in plain.splitlines())
    return " ".join(part for part in parts if part)
