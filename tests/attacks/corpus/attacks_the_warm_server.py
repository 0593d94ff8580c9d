"""The process that all kernels are forked from.

Attempts: find it, read its memory, signal it, or use descriptors that were inherited from it.
Must: see only its own processes and only its own three sockets (no output says ESCAPED).
"""

DOUBLE = """
import os

own = [name for name in os.listdir("/proc") if name.isdigit()]
if len(own) > 2:
    print("ESCAPED", own)
sockets = [name for name in os.listdir("/proc/self/fd")
           if os.path.islink(f"/proc/self/fd/{name}") and os.readlink(f"/proc/self/fd/{name}").startswith("socket")]
# Three to the engine, two inside asyncio.
if len(sockets) > 5:
    print("ESCAPED", sockets)
try:
    open("/proc/1/mem", "rb")
    print("ESCAPED to the first process")
except OSError:
    pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
