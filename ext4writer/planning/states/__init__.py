"""What an unclean end left behind, as a policy may choose it: a journal to be recovered, orphans,
the block of multi-mount protection. What is chosen stands in the plan as plain values.
"""
