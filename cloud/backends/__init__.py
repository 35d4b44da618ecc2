"""Where inferences run: what every backend can be asked, and what is learned of its models.

The rooms inside are the ways to do it: in this machine's workers, or at another server.
"""
