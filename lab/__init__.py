"""Networks that are not there: a link emulator, the demo and its live page."""
