"""A server of this environment sends a kernel's messages at once."""

import subprocess
import sys

# In a process of its own: a server takes over signals and the event loop.
SERVER = """
import socket, sys
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.testing import bind_unused_port
from tornado.websocket import websocket_connect

probe, port = bind_unused_port()
probe.close()
app = ServerApp.instance(
    root_dir=sys.argv[1], port=port, open_browser=False, allow_root=True, log_level="ERROR", port_retries=0
)
app.initialize(argv=["--IdentityProvider.token="])

async def look():
    try:
        kernel = await app.kernel_manager.start_kernel()
        client = await websocket_connect(f"ws://localhost:{port}/api/kernels/{kernel}/channels?session_id=one")
        (connection,) = ZMQChannelsWebsocketConnection._open_sockets
        stream = connection.websocket_handler.ws_connection.stream
        print("nodelay", stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        client.close()
    finally:
        app.stop()

app.io_loop.add_callback(look)
app.start()
"""


def test_a_message_to_the_browser_does_not_wait_for_the_one_before(tmp_path, monkeypatch):
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    run = subprocess.run([sys.executable, "-c", SERVER, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines() == ["nodelay True"], run.stderr
