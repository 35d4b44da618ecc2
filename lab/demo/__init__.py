"""The demo: the client's modes side by side over an emulated network, as a stream, a report and a live page."""
