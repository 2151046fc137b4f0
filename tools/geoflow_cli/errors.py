"""The two ways in which a command ends early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_NO_MEMORY = "memory ran out: ask for less, or close other programs"
# Of the parser's words: a value that is none of the option's type, none of its choices, or missing;
# and options that must be given.
_VALUE = re.compile(r"Value error Error parsing (?P<name>\S+): (?P<reason>.*?) Argument helptext: ")
_CHOICE = re.compile(
    r"Invalid choice invalid choice (?P<given>.*?) for argument '(?P<name>.*?)'\. "
    r"Expected one of \((?P<all>.*?)\)\."
)
_NO_VALUE = re.compile(
    r"Missing argument Missing value for argument '(?P<name>--[\w-]+)'\. Expected 1 "
)
_REQUIRED = re.compile(r"(?:: |\(required\) )(--[\w-]+)")
_FRAME = r"[\u2500-\u257f]+|\+?-{3,}\+?|^\||\|$"


class UsageError(Exception):
    """The arguments are wrong: exit code 2."""


class Failure(Exception):
    """The arguments are right, the work could not be done: exit code 1."""


@contextmanager
def failing() -> Iterator[None]:
    """Turn the library's foreseen errors into one line for the user."""
    from geoflow.atomic import DamagedError
    from geoflow.geometry.extraction import EmptySurfaceError
    from geoflow_datasets.workers import WorkersDiedError

    try:
        yield
    except (EmptySurfaceError, DamagedError, FloatingPointError, WorkersDiedError) as error:
        raise Failure(str(error)) from error
    except MemoryError as error:
        raise Failure(_NO_MEMORY) from error
    except FileExistsError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(str(error)) from error
    except RuntimeError as error:
        # As torch has it, on a processor ("can't allocate memory") and on a GPU.
        if not re.search("allocate memory|out of memory", str(error)):
            raise
        raise Failure(_NO_MEMORY) from error


def one_line(message: str) -> str:
    """A boxed message of the argument parser as one line, without its frame.

    Frames are box-drawing characters (U+2500 to U+257F), or +---+ and | where the terminal has
    none, and, in colour, escape sequences. Of the options that might have been meant, which the
    parser lists for every command with their help, the nearest is named.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", message)
    parts = (re.sub(_FRAME, " ", line).strip() for line in plain.splitlines())
    text = " ".join(part for part in parts if part)
    # The title of the box is the first words of its text.
    text = re.sub(r"^(\w[\w ]+) (?=\1:)", "", text)
    if refused := _VALUE.match(text):
        return f"{refused['name']}: {_plain(refused['reason'])}"
    if refused := _CHOICE.match(text):
        return f"{refused['name']} must be one of {refused['all']}, got {refused['given']}"
    if refused := _NO_VALUE.match(text):
        return f"{refused['name']} needs a value"
    if text.startswith("Required options"):
        missing, _, rest = text.partition(" Unrecognized options: ")
        unknown = rest.partition(" For full helptext")[0]
        return f"missing: {', '.join(_REQUIRED.findall(missing))}" + (
            f"; unrecognized: {unknown}" if unknown else ""
        )
    said, _, meant = text.partition(" Perhaps you meant: ")
    nearest = re.match(r"--[\w-]+", meant)
    return f"{said}; perhaps {nearest.group()} was meant" if nearest else text


def _plain(reason: str) -> str:
    """Why a word is no number, or nothing else that an option may be, as a person would say it."""
    words = {
        r"invalid literal for int\(\) with base 10: ": "a whole number",
        r"could not convert string to float: ": "a number",
    }
    for pattern, kind in words.items():
        if found := re.fullmatch(f"{pattern}(.*)", reason):
            return f"expected {kind}, got {found[1]}"
    # Of an option of several types each has its reason; None is what leaving it out means.
    if found := re.match(r"no type matching .* could be instantiated from \[(.*?)\]", reason):
        kinds = [kind for pattern, kind in words.items() if re.search(pattern, reason)]
        kinds += [name for name in re.findall(r"choices \('(\w+)'", reason) if name != "None"]
        if kinds:
            return f"expected {' or '.join(kinds)}, got {found[1]}"
    return reason
