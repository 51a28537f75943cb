"""The base of all documents."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A JSON object without other fields; the text below each field is its description."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
