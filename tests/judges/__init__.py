"""Foreign programs that judge images, and comparisons with their results."""
