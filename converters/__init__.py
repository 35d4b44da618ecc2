"""Scripts and helpers that turn trained networks into TFLite files."""
