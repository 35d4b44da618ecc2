"""A TCP link that behaves as a recorded or made-up network does, in front of any server; it needs no rights."""
