"""What an unclean shutdown leaves behind, as a policy may choose it: a journal to recover, orphans,
and the block of multi-mount protection. The plan holds these choices as plain values.
"""
