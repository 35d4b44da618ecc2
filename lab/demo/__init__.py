"""The demo: the client's modes side by side over an emulated network, with a report and a live page.

A scenario says what they have to cope with, fixtures what it is run with, and a run is what one mode made of it.
"""
