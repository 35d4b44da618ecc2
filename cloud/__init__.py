"""The CNNSelect endpoint: the HTTP face, workers, queues, and profiles learned while serving."""
