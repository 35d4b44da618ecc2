"""The network to convert, however it comes, one module a way: an architecture's name, a Keras file, a SavedModel."""
