"""What Linux knows about the processes of a server on this machine."""
import glob
import os
import re
import threading

PERIOD = 0.05                   # seconds between looks at a build


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


def children(pid):
    """The processes that a process with one thread has started."""
    return set(read(f"/proc/{pid}/task/{pid}/children").split())


def ended_cpu_seconds(pid):
    """CPU time of the children of a process that have ended, None if it is
    not here.  In ticks."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return None
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def workers(pid):
    """The parallel workers of a backend."""
    return [worker for worker in children(status(pid, "PPid"))
            if f"parallel worker for PID {pid}" in
            read(f"/proc/{worker}/cmdline")]


def mapped(processes, *kinds):
    """Bytes that some processes map of the files whose path has one of kinds;
    what several of them map counts once."""
    parts = []
    for process in processes:
        for line in read(f"/proc/{process}/maps").splitlines():
            if any(kind in line for kind in kinds):
                addresses, _, offset, *file = line.split(None, 5)
                first, last = (int(a, 16) for a in addresses.split("-"))
                offset = int(offset, 16)
                parts.append((tuple(file), offset, offset + last - first))
    total, at = 0, (None, 0)
    for file, first, last in sorted(parts):
        if at[0] == file:
            first = max(first, at[1])
        if last > first:
            total, at = total + last - first, (file, last)
    return total


def temporary_files(pids, directories):
    """Bytes of the temporary files of some processes."""
    names = tuple(f"pgsql_tmp{pid}." for pid in pids)
    total, waiting = 0, list(directories)
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:         # none yet, or gone
            continue
        for entry in entries:
            if directory in directories and not entry.name.startswith(names):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                pass
    return total


class BuildWatch(threading.Thread):
    """What a backend and its parallel workers take, by looking every PERIOD
    while the with block runs:

    memory      bytes, the most at a time: their own, and dynamic shared
                memory and temporary files that they map, each counted once;
                not the shared buffers
    temporary   bytes of temporary files, the most at a time
    workers     how many took part
    """

    def __init__(self, pid, data_directory):
        super().__init__(daemon=True)
        self.pid, self.over = pid, threading.Event()
        self.directories = [os.path.join(data_directory, "base", "pgsql_tmp"),
                            *glob.glob(os.path.join(data_directory,
                                                    "pg_tblspc/*/*/pgsql_tmp"))]
        self.memory = self.temporary = 0
        self.workers = set()

    def look(self):
        crew = workers(self.pid)
        self.workers.update(crew)
        own = sum(status(process, "RssAnon") * 1024
                  for process in (self.pid, *crew))
        self.memory = max(self.memory, own + mapped(
            (self.pid, *crew), "/dev/shm/PostgreSQL.", "/pg_dynshmem/",
            "/pgsql_tmp"))
        self.temporary = max(self.temporary, temporary_files(
            (self.pid, *self.workers), self.directories))

    def run(self):
        while not self.over.wait(PERIOD):
            self.look()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.look()

    def figures(self):
        """By name; without memory: the server is not on this machine."""
        if not self.memory:
            return dict.fromkeys(("build_peak_bytes", "build_temporary_bytes",
                                  "build_workers"))
        return {"build_peak_bytes": self.memory,
                "build_temporary_bytes": self.temporary,
                "build_workers": len(self.workers)}
