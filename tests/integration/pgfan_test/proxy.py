"""proxy.py - the client of tests/tools/fproxy, a faulty network before a server."""

import json
import pathlib
import socket
import subprocess

from . import process


class Proxy:
    """proxy.port stands for the server's; tell(latency_ms=5) and so on change the weather."""

    def __init__(self, directory, port, host="127.0.0.1"):
        self.control = pathlib.Path(directory) / f"proxy-{port}.sock"
        self.child = process.spawn(
            [process.ROOT / "tests/tools/fproxy", "--connect", f"{host}:{port}", "--control",
             self.control], stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())

    def tell(self, **order):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(str(self.control))
            peer.sendall(json.dumps(order).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += peer.recv(4096)
            return json.loads(answer)

    def stop(self):
        process.stop(self.child)
