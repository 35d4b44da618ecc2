"""Networks, phones and fleets that are not there: the link emulator, the simulator of policies, and the demo.

Everything here calls the code that serves and offloads; nothing of it is needed to do so.
"""
