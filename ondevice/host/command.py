"""Other programs that know more of the machine than files do."""

from __future__ import annotations

# They answer within milliseconds; one that hangs, as `vcgencmd` without its firmware can, must not hang the program.
_TIMEOUT_S = 5.0


def output_of(*command: str) -> str:
    """What a command printed, stripped; empty where it is not there, fails or hangs."""
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
