"""How long every command takes to show its help, and the query client to be imported.

    python -m tests.benchmarks.bench_help

A command should take less than `TARGET` seconds on two idle cores, which it cannot if it imports
TensorFlow. Times are the best of several runs, each a process of its own. The CPU seconds, and
their ratio to those of a Python that does nothing, change less where the machine is busy.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
RUNS = 3
TARGET, CLIENT_TARGET = 1.5, 0.5
CLIENT = "import of the query client"


def main():
    """Prints seconds, CPU seconds and the ratio of every command; says which are too slow."""
    nothing = measure(["-c", "pass"])
    table = Table("command", "seconds", "CPU seconds", "x python -c pass")
    slow = []
    for name, words in commands().items():
        seconds, cpu = measure(words)
        ratio = cpu / nothing[1]
        table.add_row(name, f"{seconds:.2f}", f"{cpu:.2f}", f"{ratio:.0f}")
        slow += [name] if seconds > (CLIENT_TARGET if name == CLIENT else TARGET) else []
    Console().print(table)
    print(f"python -c pass: {nothing[0]:.2f} s, {nothing[1]:.2f} CPU s")
    print(f"Above {TARGET} s ({CLIENT_TARGET} s for the client): {', '.join(slow) or 'none'}")


def commands() -> dict[str, list[str]]:
    """The arguments of Python for each command: its files, and `tfxmodal` with its list."""
    files = sorted([*ROOT.glob("trainers/*.py"), *ROOT.glob("export/*.py")])
    found = {str(file.relative_to(ROOT)): [str(file), "--help"] for file in files}
    found["trainers/train.py scl"] = [str(ROOT / "trainers/train.py"), "scl", "--help"]
    found["tfxmodal"] = ["-c", "from tfxmodal.commands.main import main; main()"]
    found[CLIENT] = ["-c", "import tfxmodal.serving.client.client"]
    return found


def measure(words: list[str]) -> tuple[float, float]:
    """The least seconds, and the least CPU seconds, of several runs of Python."""
    runs = [once(words) for _ in range(RUNS)]
    return min(run[0] for run in runs), min(run[1] for run in runs)


def once(words: list[str]) -> tuple[float, float]:
    """Seconds and CPU seconds of one run of Python."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    cpu, start = _cpu(), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start, _cpu() - cpu


def _cpu() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
