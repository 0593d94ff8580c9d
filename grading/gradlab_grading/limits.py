"""What one submission may use. Every number is a setting of the assignment."""

from dataclasses import asdict, dataclass, fields
from typing import Any

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of one submission; the defaults suit a lab of the course.

    Attributes:
        memory_bytes: anonymous and shared memory of all its processes together.
        data_bytes: private memory that one process may map. Above `memory_bytes`,
            because XLA maps more than it touches; reaching it is a MemoryError in
            the cell that asked, and the kernel lives on.
        cpu_seconds: processor time of all its processes together.
        cell_seconds: wall time of one cell.
        wall_seconds: wall time of the whole submission.
        processes: processes and threads, XLA's pools included.
        open_files: open files of one process.
        file_bytes: size of one file that it writes.
        disk_bytes: size of its private /tmp, and of its private /dev/shm.
        output_bytes: output of one cell, as sent.
        total_output_bytes: output of all cells.
        submission_bytes: size of one submitted file.
        cells: cells of one notebook.
    """

    memory_bytes: int = 3072 * MIB
    data_bytes: int = 8192 * MIB
    cpu_seconds: int = 600
    cell_seconds: int = 60
    wall_seconds: int = 600
    processes: int = 512
    open_files: int = 1024
    file_bytes: int = 256 * MIB
    disk_bytes: int = 512 * MIB
    output_bytes: int = MIB
    total_output_bytes: int = 16 * MIB
    submission_bytes: int = 20 * MIB
    cells: int = 2000

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Limits":
        """Limits with `settings` in place of defaults.

        Raises:
            ValueError: an unknown name, or a value that is not a positive number.
        """
        names = [field.name for field in fields(cls)]
        for name, value in settings.items():
            if name not in names:
                raise ValueError(f"no limit is called {name!r}; there are {', '.join(names)}")
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"the limit {name} must be a whole number above 0, not {value!r}")
        return cls(**settings)

    def as_dict(self) -> dict[str, int]:
        """The limits as plain data, for the wire and for the record."""
        return asdict(self)
