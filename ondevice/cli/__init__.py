"""The command line. Only what the command at hand needs is imported, so that each starts as fast as it can."""

from __future__ import annotations

from typing import NoReturn

from ondevice.cli import interrupts


def main() -> NoReturn:
    """Run the command line and end the process: errors are one line on standard error; status 1, 2 for wrong usage.

    Until its first line has run, Ctrl-C is Python's to answer: nothing that takes time is imported before.
    """
    interrupts.begin()
    from ondevice.cli import standard

    standard.secure()
    from ondevice.cli import program

    program.run()
