"""Frames over a stream socket: four bytes of length, then msgpack.

Both ends of every socket of the engine speak this. The reader bounds the
length, so that a hostile writer cannot make it allocate at will, and msgpack
builds nothing but plain data.
"""

import socket
import struct
from typing import Any

import msgpack

_LENGTH = struct.Struct("<I")

MAX_FRAME = 256 * 2**20
"""Longest frame that a reader accepts, in bytes, unless it is told otherwise."""


class WireError(Exception):
    """The other end closed the socket, or sent what is not a frame."""


def pack(message: Any) -> bytes:
    """Encode one message, length included."""
    body: Any = msgpack.packb(message, use_bin_type=True, unicode_errors="surrogatepass")
    return _LENGTH.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """Decode the body of one frame."""
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=True, unicode_errors="replace")
    except Exception as error:  # noqa: BLE001 msgpack raises many kinds for hostile bytes
        raise WireError(f"not a frame: {error}") from None


def send(sock: socket.socket, message: Any) -> None:
    """Write one message and wait until the kernel has taken it."""
    sock.sendall(pack(message))


def receive(sock: socket.socket, max_frame: int = MAX_FRAME) -> Any:
    """Read one message. Raises `WireError` at the end of the stream or for nonsense."""
    return unpack(receive_body(sock, max_frame))


def receive_body(sock: socket.socket, max_frame: int = MAX_FRAME) -> bytes:
    """Read the body of one frame without decoding it."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    if length > max_frame:
        raise WireError(f"a frame of {length} bytes; the limit is {max_frame}")
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = sock.recv(min(count - len(chunks), 2**20))
        if not chunk:
            raise WireError("the other end closed the socket")
        chunks += chunk
    return bytes(chunks)
