"""Results as JSON, and back."""

from collections.abc import Mapping
from typing import Any, Self


class Stored:
    """A dataclass that JSON files hold."""

    # pydantic is imported late: that takes longer than most evaluations.

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict whose keys are the field names."""
        from pydantic_core import to_jsonable_python

        document: dict[str, Any] = to_jsonable_python(self)
        return document

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote; other keys are ignored.

        Raises ValueError when a field is missing or of another type.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]  # pydantic's own text has several lines
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
