"""What long work tells while it goes on."""


class Reporter:
    """Is told of progress; this one keeps silent. The command line gives one that prints."""

    def say(self, text: str):
        """A sentence for the person who waits."""

    def bar(self, items, total: int | None = None, desc: str | None = None, unit: str = "part"):
        """Wraps an iterable of long work, as tqdm does."""
        return items

    def named(self, desc: str, unit: str = "part"):
        """`bar` with this description, whatever the work calls itself."""
        return lambda items, **options: self.bar(items, **options | {"desc": desc, "unit": unit})

    def training(self, epochs: int, done: int):
        """A training begins, of so many epochs, after those that are done."""

    def step(self, done: int, steps: int):
        """Steps of the epoch under way are done."""

    def epoch(self, report):
        """An epoch ended; see `training.report.EpochReport`."""

    def trained(self):
        """The training ended or was stopped."""


SILENT = Reporter()
