"""Foreign programs that judge images, and the comparisons that go with them."""
