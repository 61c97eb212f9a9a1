"""The least that a server in Python can do: one thread, one answer, no parsing. ``raw_epoll.py PORT``."""

import select
import socket
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_END = b"\r\n\r\n"


def main(port: int) -> None:
    """Serves until it is ended."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1_024)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN)
                continue
            sock = connections[descriptor]
            try:
                data = sock.recv(65_536)
            except ConnectionResetError:
                data = b""
            if data:
                sock.send(_ANSWER * data.count(_END))
            else:
                del connections[descriptor]
                sock.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
