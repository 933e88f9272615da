"""SELinux: labels by path, from a policy's file_contexts."""
