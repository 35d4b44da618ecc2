"""The Open Inference Protocol V2, once: messages and tensors, metadata, what we add to it, and what replies mean.

For endpoint and client alike, without HTTP and sockets. What is read may be hostile, and costs a ProtocolError at most,
or an UpstreamError where it is the reply of a server that was asked.
"""
