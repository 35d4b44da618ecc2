"""The socket: HTTP/1.1 connections with their limits and clocks, and where to listen.

It knows requests and replies as bytes with headers, and nothing of models: of the service only how one asks it.
"""
