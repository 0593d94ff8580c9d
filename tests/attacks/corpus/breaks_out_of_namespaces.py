"""New namespaces, mounts and devices.

Attempts: mount file systems, enter other namespaces, make devices, trace the first process, load a kernel module.
Must: be refused everything (no output says ESCAPED).
"""

DOUBLE = """
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
attempts = {
    "mount": lambda: libc.mount(b"tmpfs", b"/opt", b"tmpfs", 0, None),
    "remount": lambda: libc.mount(None, b"/", None, 32 | 4096, None),
    "umount": lambda: libc.umount2(b"/proc", 2),
    "chroot": lambda: libc.chroot(b"/tmp"),
    "setuid": lambda: libc.setuid(0),
    "ptrace": lambda: libc.ptrace(16, 1, 0, 0),
    "setns": lambda: libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
    "mknod": lambda: libc.mknod(b"/tmp/disk", 0o60666, 0x800),
    "hostname": lambda: libc.sethostname(b"owned", 5),
    "reboot": lambda: libc.reboot(0x1234567),
}
for name, attempt in attempts.items():
    try:
        if attempt() == 0:
            print("ESCAPED by", name)
    except OSError:
        pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
