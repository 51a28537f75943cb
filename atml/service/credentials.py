"""Keeping credentials out of messages."""

import re

_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]+:/+[^\s:@]*):\S*@")


def hide_credentials(text: str) -> str:
    """Return a text with `***` instead of the passwords and secret keys of the URLs in it.

    They may hold slashes and `@`, so the last `@` counts.
    """
    return _CREDENTIALS.sub(r"\1:***@", text)
