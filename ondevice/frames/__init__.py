"""Pictures that come by themselves, from cameras, pipes, folders and films: of those that nobody was free for, the
newest alone is kept, so that an answer is never about a picture long gone and memory does not grow.
"""
