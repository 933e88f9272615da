"""Looking at ext4 images: what they are, what is in them, what is wrong, and what each byte means.

Built on :mod:`ext4writer.read` alone, never on what plans and writes images, so that it is a second
opinion on both. Nothing here prints; what is found comes as values of JSON, or as problems.
"""
