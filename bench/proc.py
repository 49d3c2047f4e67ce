"""What Linux knows about the processes of a server on this machine."""
import os
import re
import threading

PERIOD = 0.2                    # seconds between looks at the memory


def read(path):
    """The file's text; empty where there is none, or it is not to be seen."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def status(pid, name):
    """A number of a process' status, 0 if it is not there."""
    found = re.search(rf"^{name}:\s*(\d+)", read(f"/proc/{pid}/status"), re.M)
    return int(found[1]) if found else 0


def peak_memory(pid):
    """Bytes, the most that a process has had."""
    return status(pid, "VmHWM") * 1024 or None


def cpu_seconds(pid):
    """CPU time of a process, None if it is not here."""
    # In nanoseconds, where the kernel accounts for it; else in ticks
    nanoseconds = read(f"/proc/{pid}/schedstat").split()
    if nanoseconds and int(nanoseconds[0]):
        return int(nanoseconds[0]) / 1e9
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def workers(pid):
    """The parallel workers of a backend."""
    parent = status(pid, "PPid")
    siblings = read(f"/proc/{parent}/task/{parent}/children").split()
    return [worker for worker in siblings
            if f"parallel worker for PID {pid}" in
            read(f"/proc/{worker}/cmdline")]


def memory(pid):
    """Bytes of a backend and its parallel workers: their own, and dynamic
    shared memory; not the shared buffers."""
    total, segments = 0, {}
    for process in (pid, *workers(pid)):
        total += status(process, "RssAnon") * 1024
        for line in read(f"/proc/{process}/maps").splitlines():
            if "/dev/shm/PostgreSQL." in line:
                first, last = line.split()[0].split("-")
                segments[line.split()[-1]] = int(last, 16) - int(first, 16)
    return total + sum(segments.values())


class PeakMemory(threading.Thread):
    """The most memory that a backend and its workers have, by looking now
    and then while the with block runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(PERIOD):
            self.peak = max(self.peak, memory(self.pid))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.peak = max(self.peak, memory(self.pid))
        self.over.set()
        self.join()
