"""Shows how far a CREATE INDEX is: bench/progress.sh, beside a with block."""
import os
import subprocess

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "progress.sh")


class Progress:
    """Of a backend that builds an index of that access method."""

    def __init__(self, method, backend, conninfo):
        self.command = ["bash", SCRIPT, method, str(os.getpid()), str(backend),
                        conninfo]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command,
                                        stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
