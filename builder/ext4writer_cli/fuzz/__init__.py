"""Fuzzing campaigns: many images, and programs that read them."""
