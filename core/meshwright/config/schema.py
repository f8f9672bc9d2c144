"""The JSON Schema of the YAML with the options of every plugin, for editors; nothing is validated with it here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from meshwright.config.model import GatewayConfig
from meshwright.config.plugin_use import KIND_KEY, KINDS, Kind

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE: Schema = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "${NAME}, ${NAME:-default} or ${file:PATH}, replaced before the value is checked.",
}
"""What may stand in the place of every number, truth value and text of a certain form."""

_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPPINGS = ("properties", "patternProperties", "$defs")
_SINGLES = ("items", "additionalProperties", "not")
_RESTRICTIONS = ("pattern", "enum", "const", "format", "minLength", "maxLength")
_NOISE = ("title", "gt", "ge", "lt", "le", "discriminator")


def json_schema(options: Mapping[Kind, Mapping[str, type[BaseModel] | None]]) -> Schema:
    """Return the schema (2020-12) of the whole YAML; `options` has the options model of each plugin, by kind and name.

    A plugin's use is its name, where it needs no options, or a mapping with its name as the one key. A text
    with a `${...}` reference is allowed wherever a value has to be more than just a text.
    """
    schema = GatewayConfig.model_json_schema()
    definitions: Schema = schema.pop("$defs")
    for kind in KINDS:
        uses, models = _uses(kind, options.get(kind, {}))
        definitions |= {kind: uses, **models}
    tidy = _with_references({**schema, "$defs": definitions})
    tidy["$defs"]["reference"] = REFERENCE
    return {"$schema": DIALECT, "title": "Meshwright", **tidy}


def _uses(kind: Kind, options: Mapping[str, type[BaseModel] | None]) -> tuple[Schema, Schema]:
    """Return the schema for a use of any plugin of the kind, and the definitions it refers to."""
    properties: Schema = {}
    definitions: Schema = {}
    bare = []
    for name, model in options.items():
        schema, inner = _options(f"{kind}.{name}", model)
        definitions |= inner
        if not schema.get("required"):
            bare.append(name)
            description = {"description": schema.pop("description")} if "description" in schema else {}
            schema = {"anyOf": [schema, {"type": "null"}], **description}
        properties[name] = schema
    mapping = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [*([{"enum": bare}] if bare else []), mapping]}, definitions


def _options(place: str, model: type[BaseModel] | None) -> tuple[Schema, Schema]:
    """Return the schema of a plugin's options, and the definitions of the models in it, under names of their own."""
    if model is None:
        return {"type": "object", "additionalProperties": False}, {}
    schema = model.model_json_schema(ref_template=f"#/$defs/{place}.{{model}}")
    inner = schema.pop("$defs", {})
    return schema, {f"{place}.{name}": each for name, each in inner.items()}


def _with_references(schema: Schema) -> Schema:
    """Return the schema with references allowed, plugins of each kind referred to, and without what editors ignore."""
    if KIND_KEY in schema:
        beside: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
        return {"$ref": f"#/$defs/{schema[KIND_KEY]}", **beside}
    kept = {key: value for key, value in schema.items() if key not in _NOISE and not _is_no_default(key, value)}
    result = dict(_rewritten(kept))
    if not _is_restricted(result):
        return result
    outside: Schema = {key: result.pop(key) for key in ("description", "default", "examples") if key in result}
    return {"anyOf": [result, {"$ref": "#/$defs/reference"}], **outside}


def _rewritten(schema: Schema) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key in _LISTS:
            # With references allowed in more than one member, exactly one would be too few.
            yield "anyOf" if key == "oneOf" else key, [_with_references(each) for each in value]
        elif key in _MAPPINGS:
            yield key, {name: _with_references(each) for name, each in value.items()}
        elif key in _SINGLES and isinstance(value, dict):
            yield key, _with_references(value)
        else:
            yield key, value


def _is_restricted(schema: Schema) -> bool:
    kind = schema.get("type")
    if kind == "string" or (kind is None and ("enum" in schema or "const" in schema)):
        return any(key in schema for key in _RESTRICTIONS)
    return kind in ("integer", "number", "boolean")


def _is_no_default(key: str, value: Any) -> bool:
    return key == "default" and value in (None, [], {})
