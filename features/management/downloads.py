"""How does a command tell of a download? One line a file; at a terminal it is written anew as bytes come in."""


class TellsDownloads:
    """For commands: `progress=self.received`."""

    def received(self, file):
        if file.total and file.done == file.total:
            self.stdout.write(f"\r{file}".ljust(80) if self.stdout.isatty() else str(file))
        elif self.stdout.isatty():
            self.stdout.write(f"\r{file}".ljust(80), ending="")
