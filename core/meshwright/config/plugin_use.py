"""`PluginUse`: one use of a plugin in the YAML, with its options checked; finding and making plugins goes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from meshwright.config.fields import misread
from meshwright.config.problems import did_you_mean, listed, quoted
from meshwright.config.translate import PLUGIN_OPTIONS, PROBLEM
from meshwright_sdk import ConfigError, NoOptions, Options

Kind: TypeAlias = Literal["filter", "router", "balancer", "policy", "discovery", "store", "config_source"]
KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_KEY = "x-meshwright-kind"
"""Marks, in the JSON Schema of a model, where a plugin of a kind is used."""

_FORM = "a plugin as `name` or `name: {options}`"


class UnknownPluginError(LookupError):
    """There is no plugin of this kind and name; `known` are the names there are."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.known = known


class OptionsOf(Protocol):
    """Tells the options model of a plugin."""

    def __call__(self, kind: Kind, name: str, /) -> type[BaseModel] | None:
        """Return the model, or None for a plugin without options.

        Raises LookupError (UnknownPluginError, with the names there are) when there is no such plugin, and
        ConfigError when there is one that cannot be used.
        """


class UncheckedOptions(BaseModel):
    """Options of a plugin that nobody has asked yet whether they are right."""

    model_config = ConfigDict(extra="allow", frozen=True)


@dataclass(frozen=True, slots=True)
class PluginUse:
    """A plugin's name, and its options as an instance of the plugin's own model."""

    name: str
    options: BaseModel = field(default_factory=UncheckedOptions)

    @property
    def checked(self) -> Options | None:
        """The options as the plugin takes them; None where it is left at its defaults."""
        return self.options if isinstance(self.options, Options) else None


@dataclass(frozen=True, slots=True)
class OfKind:
    """Annotates a PluginUse with the kind of plugin that may be used there.

    With an `OptionsOf` as the context of the validation, name and options are checked with it.
    """

    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        dump = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        return core_schema.with_info_plain_validator_function(self.validate, serialization=dump)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {KIND_KEY: self.kind}

    def validate(self, value: Any, info: ValidationInfo) -> PluginUse:
        if not isinstance(value, PluginUse):
            name, options = _parse(value)
        elif isinstance(value.options, UncheckedOptions):
            name, options = value.name, value.options.model_extra
        else:
            return value
        if info.context is None:
            return PluginUse(name, UncheckedOptions.model_validate(options or {}))
        shown = None if isinstance(value, str) else quoted(name)
        return PluginUse(name, _options(self._model(name, info.context, shown), name, options))

    def _model(self, name: str, options_of: OptionsOf, shown: str | None) -> type[BaseModel]:
        try:
            return options_of(self.kind, name) or NoOptions
        except ConfigError as error:
            got = "; ".join(map(str, error.problems))
            raise _problem(f"the {self.kind.replace('_', ' ')} {name} to be usable", got) from error
        except LookupError as error:
            known = getattr(error, "known", ())
            expected = f"a {self.kind.replace('_', ' ')}" + (f": {listed(sorted(known))}" if known else "")
            raise _problem(expected, shown, did_you_mean(name, known)) from error


def _parse(value: Any) -> tuple[str, Any]:
    """Return name and options as they were written."""
    if isinstance(value, str) and value:
        return value, None
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected {_FORM}; got {value!r}")
    if len(value) == 1:
        return next(iter(value.items()))
    first, *others = value
    got = f"the keys {listed(value, 'and')}"
    if value[first] is None:
        raise _problem(_FORM, got, f"indent {listed(others, 'and')} further than {first}, as its options")
    raise _problem(_FORM, got, "one plugin each: in a list, start each with a dash")


def _options(model: type[BaseModel], name: str, options: Any) -> BaseModel:
    given = {} if options is None else options
    checked, errors = None, list(misread(model, given))
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        errors += error.errors(include_url=False)
    except Exception as error:
        # A validator may raise what Pydantic does not catch; its message may hold the value.
        got = f"{type(error).__name__} in a validator of {model.__module__}.{model.__qualname__}"
        raise _problem(f"options that the plugin {name} can check", got) from error
    if checked is None or errors:
        raise _error(PLUGIN_OPTIONS, "wrong options", name=name, model=model, errors=errors)
    return checked


def _dump(use: PluginUse, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return {
        use.name: use.options.model_dump(
            mode=info.mode,
            by_alias=True,
            exclude_none=info.exclude_none,
            exclude_unset=info.exclude_unset,
            warnings=False,
            fallback=lambda value: f"<{type(value).__name__}>",
        )
    }


def _problem(expected: str, got: str | None, hint: str = "") -> PydanticCustomError:
    return _error(PROBLEM, "wrong use", expected=expected, got=got, hint=hint)


def _error(kind: Any, message: Any, **context: Any) -> PydanticCustomError:
    return PydanticCustomError(kind, message, context)
