"""A port that several processes listen on, each with a socket of its own.

The kernel spreads connections over sockets that were bound with SO_REUSEPORT by one user. That is
for servers that cannot take a socket over, as grpcio's cannot.
"""

from __future__ import annotations

import socket

from modelyard.adapters.engine.supervisor import listen


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps the port without listening; port 0 takes a free one.

    Raises:
        Invalid: the address is not one of this host, or somebody listens there already.
    """
    # SO_REUSEPORT alone would let us in beside another server of the same user.
    probe = listen(host, port, "grpc_port")
    family, address = probe.family, probe.getsockname()
    probe.close()
    kept = socket.socket(family, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind(address)
    return kept
