"""HTTP/1.1 to one server under a deadline that holds at every byte: its address, connections, and those kept open."""
