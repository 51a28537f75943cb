"""Paths that a guard might take for another than the dashboard does, percent-encoded as clients send them.

The value says whether the dashboard, which drops what is not UTF-8, sees one below /artifacts/.
"""

from urllib.parse import unquote_to_bytes

NOT_UTF8 = {
    "/%FFartifacts/1/ab": True,
    "/art%FFifacts/1/ab": True,
    "/art%ffifacts/1/ab": True,
    "/artifacts%FF/1/ab": True,
    "/artifacts/%FF1/ab": True,
    "/artifacts/1/ab%FF": True,
    "/artifacts/1/ab/%C3": True,
    "/%FF%FEartifacts/1/ab%FF": True,
    # Overlong forms of a slash and of a letter, a surrogate, and what is beyond Unicode.
    "/%C0%AFartifacts/1/ab": True,
    "/%E0%80%AFartifacts/1/ab": True,
    "/artifacts%C0%AF1/ab": False,
    "/%C1%A1rtifacts/1/ab": False,
    "/%ED%A0%80artifacts/1/ab": True,
    "/%F4%90%80%80artifacts/1/ab": True,
    "/%FF/artifacts/1/ab": False,
    "/%FF": False,
    "/%FFapi/studies/1": False,
    "/api/studies/%FF1": False,
    "/dashboard%FF": False,
    "/static/%FFbundle.js": False,
}
UTF8 = {
    "/artifacts/1/ab": True,
    "/artifacts/1/2/ab": True,
    "/artifacts%2F1%2fab": True,
    "/%61rtifacts/1/ab": True,
    "/artifacts/1/ab///": True,
    "/artifacts/1/ab%0A": True,
    "/artifacts/1/ab%00": True,
    "/artifacts/1/ab;x": True,
    "/artifacts//1/ab": True,
    "/artifacts/../dashboard": True,
    "/artifacts/%D9%A1/ab": True,  # a digit, but not an ASCII one
    "//artifacts/1/ab": False,
    "/%2Fartifacts/1/ab": False,
    "/./artifacts/1/ab": False,
    "/x/../artifacts/1/ab": False,
    "/x/%2e%2e/artifacts/1/ab": False,
    "/Artifacts/1/ab": False,
    "/ARTIFACTS/1/ab": False,
    "/%C3%BFartifacts/1/ab": False,
    "/%EF%BB%BFartifacts/1/ab": False,  # a byte order mark
    "/%EF%BC%8Fartifacts/1/ab": False,  # a full-width slash
    "/%2561rtifacts/1/ab": False,
    "/%00artifacts/1/ab": False,
    "/artifacts": False,
    "/api/artifacts/1": False,
    "/": False,
    "": False,
}
EVERY_PATH = NOT_UTF8 | UTF8


def wsgi_path(encoded):
    """Return a path as a server hands it to an application."""
    return unquote_to_bytes(encoded).decode("latin-1")
