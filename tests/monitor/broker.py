"""A NATS server of a test's own, which it may kill and start again over the same store."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time

import pytest


class Broker:
    """`nats-server` with JetStream on a free port of this machine."""

    def __init__(self, folder):
        binary = shutil.which("nats-server")
        if binary is None:
            pytest.skip("nats-server is not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(folder)]
        self._running = None

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        self._running = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.closing(socket.socket()) as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("nats-server does not listen")

    def stop(self, how=signal.SIGTERM):
        if self._running is not None:
            self._running.send_signal(how)
            self._running.wait(20)
            self._running = None
