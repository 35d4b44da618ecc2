"""Let the Python that runs this find the checkout from the folder in which it lies, too.

A folder `ondevice` beside a script is taken for a package without `__init__.py`, before an editable install's finder is
asked; a real package of this name further along the search path comes first.
"""

import sysconfig
from pathlib import Path

root = Path(__file__).resolve().parents[1]
Path(sysconfig.get_path("purelib"), "ondevice_checkout.pth").write_text(f"{root}\n", encoding="utf-8")
