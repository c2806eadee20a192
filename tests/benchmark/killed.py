"""A worker that is killed; here alone, so that its process need not load TensorFlow."""

import os
import signal

from tfxmodal.benchmark.runner import Board
from tfxmodal.errors import InputError


def killed_in_pls(grid, folder, names, figures):
    """In place of `_worker`: is killed in the training of pls; others end with a reason."""
    board = Board(folder)
    for cell in grid.cells(grid.sources()):
        if cell.name in names and not board.settled(cell):
            with board.claimed(cell):
                if cell.method == "pls":
                    os.kill(os.getpid(), signal.SIGKILL)
                board.fail(cell, InputError("by hand"))
