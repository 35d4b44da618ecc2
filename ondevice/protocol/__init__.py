"""The Open Inference Protocol V2, for endpoint and client alike: messages, tensors, and a served model on the wire.

A leaf: no HTTP and no sockets; whatever it reads may be hostile, and costs a ProtocolError at most.
"""
