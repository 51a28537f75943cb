"""The JSON documents that commands print for scripts; the text beside a field is its description."""
