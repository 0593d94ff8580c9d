"""Kernel messages from the student's own hand.

Attempts: write result, error-free "done" and score frames on every socket that the kernel has.
Must: earn nothing with them, and lose nothing that was earned honestly before.
"""

DOUBLE = """
import os, struct
import msgpack

def frame(message):
    body = msgpack.packb(message)
    return struct.pack("<I", len(body)) + body

forged = b"".join(
    frame(message)
    for message in (
        {"kind": "execute_result", "content": {"data": {"text/plain": "3"}, "metadata": {}, "execution_count": 1}},
        {"kind": "done", "content": {"status": "ok", "execution_count": 9}},
        {"op": "checked", "outputs": [], "trouble": ""},
    )
)
for name in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{name}").startswith("socket"):
            os.write(int(name), forged)
    except OSError:
        pass

def double(array):
    return None
"""
EARN = {"mean": 2, "double": 0}
