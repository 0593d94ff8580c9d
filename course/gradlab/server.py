"""An extension of the Jupyter server: a kernel's messages reach the browser when they are sent.

A kernel answers in three small messages: busy, the answer, idle. By TCP's default (Nagle's algorithm) the second waits
until the browser has acknowledged the first, and a browser that has nothing to say acknowledges after 40 ms. Tornado
leaves this to the handler (`WebSocketHandler.set_nodelay`), and Jupyter's does nothing about it.
"""

import asyncio

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """The server's own connection of a browser to a kernel, without the wait."""

    def connect(self) -> asyncio.Future[None] | None:
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gradlab.server"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    # A gateway brings a connection of its own, which stays.
    if server.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection:
        server.web_app.settings["kernel_websocket_connection_class"] = PromptConnection
