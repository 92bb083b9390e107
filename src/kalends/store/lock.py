"""One process per SQLite file: an exclusive lock beside it, which the kernel releases when its holder dies."""

import fcntl
import os
from pathlib import Path

from kalends.store.errors import StoreLocked


class FileLock:
    """Holds `FILE.lock` until `release` or the end of the process. The file itself stays: deleting it would race."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises StoreLocked if another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLocked(
                f"Another Kalends (process {holder}) already serves {self._path.with_suffix('')}. "
                "Stop it first, or give this one another data folder. Several processes side by side need PostgreSQL."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
