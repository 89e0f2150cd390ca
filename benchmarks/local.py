"""Who is timed without a target: what HSM tells of a project."""

from __future__ import annotations

import shutil

from benchmarks.peers import Command, Contender, Hsm


class ColdList(Contender):
    """`hsm sync list --sweeps` of a project of which nothing is remembered."""

    name = "hsm sync list --sweeps, cold"

    def prepare(self) -> None:
        """Forget what was read of its logs."""
        shutil.rmtree(self.project / ".hsm" / "cache", ignore_errors=True)

    def make_command(self) -> Command:
        """As a user would type it."""
        return Command([str(Hsm.program), "sync", "list", "--sweeps"], self.project)


class WarmList(ColdList):
    """The same once more."""

    name = "hsm sync list --sweeps, warm"

    def prepare(self) -> None:
        """Remember."""
        self._run(*self.make_command().argv)


class Report(ColdList):
    """`hsm sync report` as a page."""

    name = "hsm sync report --html"

    def make_command(self) -> Command:
        """As a user would type it."""
        page = str(self.target.with_suffix(".html"))
        return Command([str(Hsm.program), "sync", "report", self.workload.word, "--html", page], self.project)

    def measure_size(self) -> int:
        """Bytes of the page."""
        return self.target.with_suffix(".html").stat().st_size
