"""One request's way: who may ask, which operation, what was sent, the choice, the answer, and what is written of it.

It knows backends by what they have in common, and no socket.
"""
