"""State machines that keep trouble from spreading: when a failing server may be asked again, on a given clock, and what
all together may hold of something.
"""
