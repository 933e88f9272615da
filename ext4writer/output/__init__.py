"""Where the bytes of an image go: a path, an open file, a stream, memory, a device."""
