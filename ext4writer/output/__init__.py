"""Sinks for images: paths, open files, streams, memory and block devices."""
