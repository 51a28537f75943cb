"""Sources of segments, one file each."""
