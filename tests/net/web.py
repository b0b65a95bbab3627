#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A web server for tests, on port 80 of all addresses: python3 web.py

    GET /bytes/N    N bytes that look random and are the same each time: body(N)
    GET /address    who asks, as the server sees it
    GET /reset      half a body, then the connection breaks
    GET /nothing    no answer until the client leaves
    POST /          the SHA-256 of the body, in hex
"""
import hashlib
import http.server
import random
import socket
import struct

PORT = 80


def body(size):
    return random.Random(size).randbytes(size)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self, data):
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path = self.path.partition('?')[0]
        if path.startswith('/bytes/'):
            self.answer(body(int(path.removeprefix('/bytes/'))))
        elif path == '/address':
            self.answer(self.client_address[0].removeprefix('::ffff:').encode())
        elif path == '/reset':
            self.reset()
        elif path == '/nothing':
            self.connection.recv(1)
            self.close_connection = True
        else:
            self.send_error(404)

    def do_POST(self):
        digest, left = hashlib.sha256(), int(self.headers['Content-Length'])
        while left and (piece := self.rfile.read(min(left, 1 << 16))):
            digest.update(piece)
            left -= len(piece)
        self.answer(digest.hexdigest().encode())

    def reset(self):
        self.send_response(200)
        self.send_header('Content-Length', '2000')
        self.end_headers()
        self.wfile.write(bytes(1000))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close_connection = True

    def log_message(self, *_words):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def shutdown_request(self, request):
        """Without the shutdown that would say goodbye before a reset."""
        request.close()


def main():
    with Server(('::', PORT), Handler) as server:
        print('listening', flush=True)
        server.serve_forever()


if __name__ == '__main__':
    main()
