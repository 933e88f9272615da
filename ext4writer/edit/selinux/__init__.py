"""SELinux: labels by path, as a policy's file_contexts has them."""
