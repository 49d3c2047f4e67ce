"""Shows how far a CREATE INDEX is: bench/progress.sh, beside a with block; and
how far work is whose steps are known."""
import os
import subprocess
import sys
from contextlib import contextmanager
from time import perf_counter

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


class Bar:
    """Of work in steps, each of some weight.  On a terminal this is one line,
    otherwise a line for each tenth."""

    CELLS, WIDTH = 20, 79

    def __init__(self, weight):
        self.weight, self.done, self.shown = weight, 0, -1
        self.terminal = sys.stdout.isatty()

    @contextmanager
    def step(self, text, weight=1):
        """For the with block; yields what is to be called with the share of
        the step that is done."""
        self.show(text, self.done)
        yield lambda share: self.show(text, self.done + share * weight)
        self.done += weight

    def show(self, text, done):
        share = min(done / self.weight, 1)
        seconds = perf_counter() - self.started
        if self.terminal:
            left = (f"{seconds * (1 - share) / share:.0f} s left  "
                    if share > 0.02 else "")
            cells = "#" * int(share * self.CELLS)
            line = f"  [{cells:<{self.CELLS}}] {share:4.0%}  {left}{text}"
            print("\r" + line[:self.WIDTH], end="\033[K", flush=True)
        elif int(10 * share) > self.shown:
            self.shown = int(10 * share)
            print(f"  {seconds:6.1f} s {share:5.0%}  {text}", flush=True)

    def __enter__(self):
        self.started = perf_counter()
        return self

    def __exit__(self, *_):
        if self.terminal:
            print(end="\r\033[K", flush=True)
