"""Base of the models of YAML files, and what their fields say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hsm.config.layers import SettingKey

SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """One section of a file. A key that is left empty counts as absent, except where null is a value.

    Attributes:
        null_is_value: Keys whose null is a value.
        words: What is allowed in the section's place; without them its keys are named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    null_is_value: ClassVar[frozenset[str]] = frozenset()
    words: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: object) -> object:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            return data
        droppable = cls.model_fields.keys() - cls.null_is_value
        return {key: value for key, value in data.items() if value is not None or key not in droppable}

    def make(self) -> object:
        """Make the value that the program uses; by default the section itself."""
        return self


def validate(
    model: type[SectionT], data: object, *, context: Mapping[str, Any] | None = None
) -> SectionT | list[ErrorDetails]:
    """Make the section that values describe, or list all that is wrong with them.

    Args:
        model: Of the section.
        data: Its values.
        context: For the validators.
    """
    # No exception may be raised while the ValidationError is handled: a traceback of both would print the data,
    # whose aliases of aliases are small in memory and endless on paper.
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        return error.errors(include_url=False)


def make_values(section: Section) -> dict[str, Any]:
    """Make the values of a section's keys as the program uses them, sections in lists and by name included."""
    return {name: _make_value(getattr(section, name)) for name in type(section).model_fields}


def _make_value(value: object) -> object:
    if isinstance(value, Section):
        return value.make()
    return tuple(map(_make_value, value)) if isinstance(value, tuple) else value


def make_tuple(value: object) -> object:
    """Return a list as a tuple; anything else as it is. Strict models take no list for a tuple."""
    return tuple(value) if isinstance(value, list) else value


def get_section(field: FieldInfo) -> type[Section] | None:
    """Return the model of a key that is a section."""
    annotation = field.annotation
    if get_origin(annotation):  # Python 3.10 takes `dict[...]` for a class
        return None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def get_member(field: FieldInfo) -> type[Section] | None:
    """Return the model of the members of a key that holds sections, by name or in a list."""
    kind, members = get_origin(field.annotation), get_args(field.annotation)
    found = members[-1] if kind is dict else members[0] if kind is tuple else None
    return found if isinstance(found, type) and issubclass(found, Section) else None


def is_open(field: FieldInfo) -> bool:
    """Tell whether a key holds settings under names of the user's choice."""
    return get_origin(field.annotation) is dict and get_member(field) is None


def list_keys(model: type[BaseModel]) -> str:
    """Name the keys of a section."""
    return f"the keys {', '.join(model.model_fields)}"


def iter_values(model: type[Section], data: object, key: SettingKey = ()) -> Iterator[tuple[SettingKey, object]]:
    """Yield the single settings of a section, as the file has it; keys that are left empty count as absent.

    Args:
        model: Of the section.
        data: Its values; unknown keys are passed over, wrong values yielded as they are.
        key: Of the section.
    """
    for name, value in data.items() if isinstance(data, Mapping) else ():
        known = model.model_fields.get(name)
        inner = get_section(known) if known else None
        if inner is not None:
            yield from iter_values(inner, value, (*key, name))
        elif known is not None and is_open(known) and isinstance(value, Mapping):
            yield from (((*key, name, str(word)), item) for word, item in value.items() if item is not None)
        elif known is not None and (value is not None or name in model.null_is_value):
            yield (*key, name), value


def iter_keys(model: type[BaseModel], key: SettingKey = ()) -> Iterator[tuple[SettingKey, FieldInfo]]:
    """Yield every key that a section can have, in the schema's order; of open sections the section's own."""
    for name, known in model.model_fields.items():
        inner = get_section(known)
        if inner is None:
            yield (*key, name), known
        else:
            yield from iter_keys(inner, (*key, name))
