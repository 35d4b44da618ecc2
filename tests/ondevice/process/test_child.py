"""What is read of a process that does our work, however it ends."""

from __future__ import annotations

import io
import subprocess
import sys

from ondevice.process.child import Child


def test_a_line_that_is_cut_short_is_no_message() -> None:
    program = 'print(\'{"kind": "note"}\'); print(\'{"kind": "sam\', end=\'\')'
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert [*Child(process, io.BytesIO()).messages()] == [{"kind": "note"}]
