"""Studies in a shared storage, and the processes that work on them."""
