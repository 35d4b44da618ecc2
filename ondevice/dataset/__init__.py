"""Labelled pictures in the forms that people have them: a folder a class, a table, a training set with its own split.

Each picture gets the index of its class in a model's label list. What was chosen on the way is told, and what could be
read in two ways is refused.
"""
