"""Worker processes: started, told over a socket what to do, replaced when they die, with one queue before them all.

Models run in them, and pictures are decoded there, so that nothing can take the endpoint down with it.
"""
