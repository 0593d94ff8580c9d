"""A second wall: system calls that no lab needs, refused to submissions.

The namespaces are the first wall, and the operating system's own code is what they are made of. Most of its holes
of late were reached through calls that are here: namespaces of one's own, io_uring, bpf, keys, userfaultfd.
A list of refusals cannot break a library as a list of permissions can.
"""

import ctypes
import errno
import platform
import struct

from gradlab_grading.sandboxed.namespaces import forbid_new_privileges

# Of <asm/unistd_64.h> and <asm-generic/unistd.h>.
_NUMBERS = {
    "x86_64": {
        "clone": 56,
        "ptrace": 101,
        "personality": 135,
        "pivot_root": 155,
        "chroot": 161,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "reboot": 169,
        "init_module": 175,
        "delete_module": 176,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "bpf": 321,
        "userfaultfd": 323,
    },
    "aarch64": {
        "clone": 220,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "chroot": 51,
        "personality": 92,
        "unshare": 97,
        "init_module": 105,
        "delete_module": 106,
        "ptrace": 117,
        "reboot": 142,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "perf_event_open": 241,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
    },
}
# The same on every machine: io_uring, the newer calls that mount, clone3.
_URING, _MOUNTS, _CLONE3 = (425, 426, 427), (428, 429, 430, 431, 432, 433, 442), 435
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020080

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_PR_SET_SECCOMP, _FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def program(machine: str) -> bytes:
    """The filter, in the operating system's own little language. Raises KeyError for a machine without a list."""
    numbers = dict(_NUMBERS[machine])
    clone = numbers.pop("clone")

    def refuse(test: int, value: int, error: int) -> list[bytes]:
        return [_code(test, value, no=1), _code(_RETURN, _ERROR | error)]

    lines = [_code(_LOAD, _MACHINE), _code(_EQUAL, _ARCHITECTURE[machine], yes=1)]
    lines += [_code(_RETURN, _ERROR | errno.ENOSYS), _code(_LOAD, _NUMBER)]
    if machine == "x86_64":
        lines += refuse(_AT_LEAST, _X32, errno.ENOSYS)
    # Its flags lie in memory, where a filter cannot look: the C library then uses clone.
    lines += refuse(_EQUAL, _CLONE3, errno.ENOSYS)
    for number in (*numbers.values(), *_URING, *_MOUNTS):
        lines += refuse(_EQUAL, number, errno.EPERM)
    lines += [_code(_EQUAL, clone, no=3), _code(_LOAD, _FIRST_ARGUMENT)]
    lines += refuse(_ANY_BIT, _NEW_NAMESPACES, errno.EPERM)
    return b"".join([*lines, _code(_RETURN, _ALLOW)])


def _code(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many to leap over."""
    return struct.pack("HBBI", operation, yes, no, value)


def refuse_rare_calls() -> bool:
    """Put the filter on this process and all that it will start, for good. False where the system has no filters."""
    machine = platform.machine()
    if machine not in _NUMBERS:
        return False
    forbid_new_privileges()
    code = program(machine)
    filter_ = _Program(len(code) // 8, code)
    return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filter_), 0, 0) == 0
