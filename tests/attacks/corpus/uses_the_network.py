"""A call home.

Attempts: reach a server of the grader's machine by TCP, an abstract socket of it, and the outside by name and number.
Must: reach nothing (no output says ESCAPED).
"""

DOUBLE = """
import socket

for family, address in (
    (socket.AF_INET, ("127.0.0.1", {PORT})),
    (socket.AF_INET, ("1.1.1.1", 53)),
    (socket.AF_UNIX, "\\0{ABSTRACT}"),
):
    with socket.socket(family) as attempt:
        attempt.settimeout(1)
        try:
            attempt.connect(address)
            print("ESCAPED to", address)
        except OSError:
            pass
try:
    print("ESCAPED", socket.gethostbyname("example.org"))
except OSError:
    pass

def double(array):
    return 2 * array
"""
EARN = {"double": 3}
