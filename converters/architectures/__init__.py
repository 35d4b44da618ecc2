"""CNN architectures by name, as Keras models: those of Keras Applications, and those that are written here."""
