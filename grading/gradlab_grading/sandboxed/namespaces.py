"""A private world for one process: namespaces, mounts, limits, no privileges.

`bwrap` gives the warm server its read-only view once; these calls give every
process forked from it a world of its own in a few milliseconds. Python 3.11
has no `os.unshare` and no Python has `mount`, hence ctypes.
"""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_NEW_NAMESPACES = (
    0x00020000  # mount
    | 0x04000000  # uts
    | 0x08000000  # ipc
    | 0x10000000  # user
    | 0x20000000  # pid
    | 0x40000000  # network
)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 1 << 12, 1 << 14, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

NOBODY = 65534
"""User and group that submissions run as when the grader is root."""


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(kind: str, target: str, options: str = "", *, noexec: bool = True) -> None:
    """Mount a pseudo file system of `kind` (tmpfs, proc) at `target`."""
    flags = _MS_NOSUID | _MS_NODEV | (_MS_NOEXEC if noexec else 0)
    result = _libc.mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode() or None)
    _check(result, f"mount {kind} on {target}")


def become_nobody() -> None:
    """Give up root for good; does nothing for an ordinary user."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    forbid_new_privileges()


def forbid_new_privileges() -> None:
    """No program that is started from here gains by being setuid."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def adopt_orphans() -> None:
    """Make this process the parent of its grandchildren when their parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")


def set_dumpable(dumpable: bool) -> None:
    """Allow or forbid other processes of this user to look into this one."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "dumpable")


def die_with_parent(signal_number: int) -> None:
    """Receive `signal_number` when the thread that started this process ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "pdeathsig")


def enter_private_namespaces() -> None:
    """Leave every namespace shared with other submissions; the next fork is PID 1."""
    uid, gid = os.getuid(), os.getgid()
    # The map files belong to root while the process is not dumpable.
    set_dumpable(True)
    _check(_libc.unshare(_NEW_NAMESPACES), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    _loopback_up()


def mount_private_folders(folders: list[str], disk_bytes: int) -> None:
    """Cover each folder with an empty one of its own that holds at most `disk_bytes`.

    A Python that lies below one of them, as one under /tmp does, stays in view: modules are still to be imported.
    """
    prefixes = dict.fromkeys((sys.base_prefix, sys.prefix))
    below = [path for path in prefixes if any(Path(path).is_relative_to(folder) for folder in folders)]
    kept = [(path, os.open(path, os.O_PATH)) for path in below]
    for folder in folders:
        mount("tmpfs", folder, f"size={disk_bytes},mode=1777", noexec=False)
    for path, descriptor in kept:
        Path(path).mkdir(parents=True, exist_ok=True)
        _bind(f"/proc/self/fd/{descriptor}", path)
        os.close(descriptor)


def mount_own_proc() -> bool:
    """Show this PID namespace and no other under /proc. Must run inside of it.

    Returns:
        Whether it could. The operating system refuses where the outer /proc is covered
        in part, as it is in a container; `assemble_proc` is for that case.
    """
    try:
        mount("proc", "/proc")
    except PermissionError:
        return False
    return True


def assemble_proc() -> None:
    """Cover /proc with a folder that holds this process and what describes the machine."""
    outer, own = Path("/proc/self").readlink(), str(os.getpid())
    folder = Path("/dev/shm/proc")
    folder.mkdir()
    mount("tmpfs", str(folder), "size=1m,mode=755")
    (folder / own).mkdir()
    _bind(f"/proc/{outer}", folder / own)
    for name in ("cpuinfo", "meminfo", "stat", "filesystems", "version"):
        (folder / name).touch()
        _bind(f"/proc/{name}", folder / name)
    (folder / "self").symlink_to(own)
    (folder / "mounts").symlink_to("self/mounts")
    _bind(str(folder), "/proc")
    _check(_libc.umount2(str(folder).encode(), _MNT_DETACH), "umount")
    folder.rmdir()


def _bind(source: str, target: str | Path) -> None:
    _check(_libc.mount(source.encode(), str(target).encode(), None, _MS_BIND | _MS_REC, None), f"bind {source}")


def _loopback_up() -> None:
    """Start the loopback device, which is down in a new network namespace.

    Labs that start several processes of one program speak over it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(probe, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def drop_capabilities() -> None:
    """Give up every capability in the process's own user namespace."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def limit(limits: dict[str, int], *, shared_user: bool) -> None:
    """Set the limits that the operating system itself enforces.

    Args:
        limits: `data_bytes`, `cpu_seconds`, `processes`, `open_files`,
            `file_bytes`, as `gradlab_grading.limits.Limits` names them.
        shared_user: whether the processes of the grader count against the same
            user, so that a limit on their number would hit the wrong ones.
    """
    # RLIMIT_AS would refuse the large mappings that XLA reserves and never touches.
    # One second between soft and hard lets SIGXCPU be seen before SIGKILL.
    cpu = limits["cpu_seconds"]
    for name, soft, hard in (
        ("RLIMIT_DATA", limits["data_bytes"], limits["data_bytes"]),
        ("RLIMIT_CPU", cpu, cpu + 1),
        ("RLIMIT_NPROC", limits["processes"], limits["processes"]),
        ("RLIMIT_NOFILE", limits["open_files"], limits["open_files"]),
        ("RLIMIT_FSIZE", limits["file_bytes"], limits["file_bytes"]),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_MSGQUEUE", 0, 0),
    ):
        key = getattr(resource, name, None)
        if key is None or (shared_user and name == "RLIMIT_NPROC"):
            continue
        ceiling = resource.getrlimit(key)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(key, (soft, hard))
