"""The endpoint beyond one machine, as a deployment of Ray Serve: the same service in every replica, behind Ray's proxy.

Ray is imported inside what needs it: nothing of it is loaded where nobody asks for it.
"""
