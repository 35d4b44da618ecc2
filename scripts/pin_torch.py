"""Print what the tests of PyTorch's networks are run with, pinned, as pip would install it here; for `make lock`.

uv does not see the torch that is for CPUs alone, and what it pins in its place brings gigabytes for GPUs.
"""

from __future__ import annotations

import json
import subprocess
import sys

# A build for CPUs; where pip does not find it, it does with PyTorch's index of those as PIP_EXTRA_INDEX_URL.
TORCH = "torch==2.13.0+cpu"
TESTS = ("pytest", "hypothesis", "h5py")
HEAD = (
    "# Linux on x86-64 with Python 3.11 alone, for which there is a torch that is for CPUs. Written by:\n#    make lock"
)

command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--report", "-"]
done = subprocess.run([*command, TORCH, ".[torch]", *TESTS], stdout=subprocess.PIPE, check=True)
print(HEAD)
for item in sorted(json.loads(done.stdout)["install"], key=lambda item: item["metadata"]["name"].lower()):
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    if "sha256" in hashes:  # the checkout itself has none
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        print(f"{name}=={version} \\\n    --hash=sha256:{hashes['sha256']}")
