"""System calls that no lab needs, each a door that holes were found behind.

Attempts: namespaces of its own by three calls, io_uring, bpf, keys, userfaultfd, performance counters, new mounts.
Must: be refused them all (no output says ESCAPED), and start threads and processes as ever.
"""

DOUBLE = """
import ctypes, errno, platform, subprocess, sys, threading

libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
attempts = {
    "unshare": (272 if x86 else 97, 0x10000000),
    "clone": (56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "io_uring": (425, 8, ctypes.create_string_buffer(120)),
    "bpf": (321 if x86 else 280, 0, ctypes.create_string_buffer(128), 128),
    "keyctl": (250 if x86 else 219, 0, -3, 1),
    "userfaultfd": (323 if x86 else 282, 1),
    "perf": (298 if x86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "fsopen": (430, b"tmpfs", 0),
}
for name, call in attempts.items():
    result = libc.syscall(*[ctypes.c_long(it) if isinstance(it, int) else it for it in call])
    if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print("ESCAPED by", name, result, ctypes.get_errno())

found = []
thread = threading.Thread(target=found.append, args=(2,))
thread.start()
thread.join()
factor = int(subprocess.check_output([sys.executable, "-Sc", f"print({found[0]})"]))

def double(array):
    return factor * array
"""
EARN = {"double": 3}
