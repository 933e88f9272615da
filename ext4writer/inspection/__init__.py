"""Inspects ext4 images: what they are, what they contain, what is wrong, what each byte means.

This package uses only :mod:`ext4writer.read`, never the code that plans and writes images. It is
therefore a second opinion on both. Nothing here prints: results are JSON values or problems.
"""
