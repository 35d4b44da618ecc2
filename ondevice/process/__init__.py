"""Code in another process, started in one way: this copy of the package, told its work, and ended with its parent."""
