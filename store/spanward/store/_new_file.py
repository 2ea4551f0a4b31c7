"""Writing a file that is there whole or not at all, and that only its owner can read."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from spanward.store.errors import PermanentError


@contextmanager
def new_file(path: Path, *, force: bool) -> Generator[IO[bytes], None, None]:
    """A file (0600) that takes the name `path` when the block ends well, and vanishes when it does not.

    Args:
        path: its name, in a folder that exists.
        force: replace what is there; otherwise nothing that exists is touched.

    Raises:
        PermanentError: `path` exists and `force` is off, or the folder or disk refuses.
    """
    if not force and path.exists():
        raise _exists(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with _owners_only(partial) as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        if force:
            partial.replace(path)
        else:
            path.hardlink_to(partial)  # fails where a rename would overwrite what came meanwhile
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise PermanentError(f"{path}: cannot be written: {error.strerror}; choose a folder with room") from error
    finally:
        partial.unlink(missing_ok=True)


def _owners_only(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _exists(path: Path) -> PermanentError:
    return PermanentError(f"{path} exists; choose another name, or overwrite it by force")
