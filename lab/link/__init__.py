"""A TCP link that behaves as a recorded or made-up network does, in front of any server.

It is a proxy in user space that needs no rights: packets wait for a trace's capacity, then for the latency, and toxics
do to connections what broken networks do.
"""

from ondevice.lab.link.direction import Direction
from ondevice.lab.link.link import Link, Links
from ondevice.lab.link.listener import HOST
from ondevice.lab.link.relay import Counts, LinkSpec, LinkState

# The names by which 0.1.0 documented them.
Way, State = Direction, LinkState

__all__ = ["HOST", "Counts", "Direction", "Link", "LinkSpec", "LinkState", "Links", "State", "Way"]
