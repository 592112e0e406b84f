"""Command-line options made from the fields of dataclasses."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
import typer.core
from rich.markup import escape

from neurofit.config.options import flag_of, options_of
from neurofit.errors import NeurofitError

F = TypeVar("F", bound=Callable[..., Any])

SEVERAL = ("parse_names", "parse_layers")
"""Parsers of names joined by commas: such an option may also be given several times."""


@contextmanager
def naming_flags(flags: Mapping[str, str]) -> Iterator[None]:
    """Within the block, write the flag of an option in an error about it, not its Python name."""
    try:
        yield
    except NeurofitError as error:
        name_flags(error, flags)
        raise


def name_flags(error: NeurofitError, flags: Mapping[str, str]) -> NeurofitError:
    """Write the flags of an error's options in place of their Python names."""
    for option in error.options:
        if flag := flags.get(option):
            error.args = (re.sub(rf"\b{option}\b", flag, str(error), count=1),)
    error.options = tuple(each for each in error.options if each not in flags)
    return error


class Command(typer.core.TyperCommand):
    """A command with errors about its flags.

    It refuses an option given twice, of which only the last would be used.
    """

    bare: Mapping[str, str] = {}
    """Flags that may be given without a value -> the value that they then have."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        known = {flag for param in self.params for flag in param.opts}
        args = [
            re.sub("^--layer(?==|$)", "--layers", arg) if "--layers" in known else arg
            for arg in args
        ]
        args = [
            f"{arg}={self.bare[arg]}" if arg in self.bare and following[:1] in ("", "-") else arg
            for arg, following in zip(args, [*args[1:], ""], strict=False)
        ]
        given = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
        for param in self.params:
            times = sum(map(given.count, {*param.opts, *param.secondary_opts}))
            if times > 1 and not getattr(param, "multiple", False):
                raise NeurofitError(f"{param.opts[0]} is given {times} times; give it once.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with naming_flags({str(param.name): param.opts[0] for param in self.params}):
            return super().invoke(ctx)


class RunByDefault(typer.core.TyperGroup):
    """A group of commands on studies, in which a study runs if no other command is named."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name."""
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A Typer app of such commands."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[F], F]:
        """Return a decorator that adds a command."""
        return super().command(name, **{"cls": Command, **settings})


def late_command(name: str, function: Callable[..., Any], *, example: str) -> Any:
    """Return a command that is made when it is called, since its options take time to import."""
    app = App(add_completion=False, rich_markup_mode="rich")
    app.command(name, epilog=f"Example: {example}")(function)
    return typer.main.get_command(app)


def parameters_of(
    config: type, *, panel: str, prefix: str = "", defaults: bool = True
) -> list[inspect.Parameter]:
    """Return a keyword parameter for each option of a dataclass.

    All have the default None, which means that the option is not given.

    Parameters
    ----------
    config
        Dataclass with fields made by `neurofit.config.options.option`.
    panel
        Heading in the help of the options that have none of their own.
    prefix
        Prefix of the flags: "ridge" makes `--ridge-select` of the field `select`.
    defaults
        Whether the defaults are those of the fields. Others are not shown, and may turn a flag on,
        so that it can also be turned off.
    """
    hints = get_type_hints(config)
    return [
        _parameter(each, hints[each.name], panel, prefix, defaults) for each in options_of(config)
    ]


def _parameter(
    each: Field[Any], hint: Any, panel: str, prefix: str, defaults: bool
) -> inspect.Parameter:
    rule = each.metadata
    name = _name(each, prefix)
    flag = flag_of(name)
    several = getattr(rule["parse"], "__name__", "") in SEVERAL
    kind: Any = list[str] if several else str if rule["parse"] else hint
    if kind is bool and (each.default is True or not defaults):
        flag = f"{flag}/{flag_of(f'no-{name}')}"
    usual = None if each.default in (MISSING, None, "", False) or not defaults else each.default
    shown = rule["default_text"] or ("" if usual is None else str(usual))
    extra: dict[str, Any] = {"metavar": rule["metavar"]} if rule["metavar"] else {}
    if number := next((each for each in (int, float) if kind in (each, each | None)), None):
        extra = {"parser": _number_parser(number, flag), "metavar": f"<{number.__name__}>", **extra}
    option = typer.Option(
        flag,
        help=rule["help"] + (escape(f" [default: {shown}]") if shown else ""),
        show_default=False,
        rich_help_panel=rule["panel"] or panel,
        **extra,
    )
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _number_parser(kind: type, flag: str) -> Callable[[str], Any]:
    """Return a function that reads a number, with an error that says what was given."""

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            of = "whole number" if kind is int else "number"
            raise NeurofitError(f"{flag} takes a {of}; got {text!r}.") from None

    return parse


def given_options(config: type, given: dict[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return the options of a dataclass that are given on the command line, parsed.

    Raises
    ------
    NeurofitError
        If a text cannot be parsed.
    """
    values = {}
    for each in options_of(config):
        value = given.get(_name(each, prefix))
        if value is None or value == []:
            continue
        parse = each.metadata["parse"]
        if parse is not None:
            text = ",".join(value) if isinstance(value, list) else value
            try:
                value = parse(text)
            except ValueError:
                raise NeurofitError(
                    f"{each.name} takes {each.metadata['metavar']}; got {text!r}.", option=each.name
                ) from None
        values[each.name] = value
    return values


def flags_of(config: type, *, prefix: str = "") -> dict[str, str]:
    """Return the flag of each option of a dataclass, by the name of its field."""
    return {each.name: flag_of(_name(each, prefix)) for each in options_of(config)}


def _name(each: Field[Any], prefix: str) -> str:
    return f"{prefix}_{each.name}" if prefix else each.name


def with_signature(function: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Any:
    """Give a function the parameters of a command."""
    listed = list(parameters)
    function.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in listed}
    return function


def expand(**configs: type) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that replaces parameters by the options of their dataclasses.

    `@expand(selection=Selection)` gives a command the options of a selection, and passes the
    function a `Selection`. A dataclass with `from_options` is made by it, and gives the defaults.
    """

    def decorate(function: Callable[..., None]) -> Any:
        hints = get_type_hints(function, include_extras=True)
        own = [
            each.replace(annotation=hints[name])
            for name, each in inspect.signature(function).parameters.items()
            if name not in configs
        ]

        @functools.wraps(function)
        def command(**given: Any) -> None:
            built = {
                name: getattr(config, "from_options", config)(**given_options(config, given))
                for name, config in configs.items()
            }
            function(**{each.name: given[each.name] for each in own}, **built)

        del command.__wrapped__
        made = [
            parameter
            for name, config in configs.items()
            for parameter in parameters_of(
                config,
                panel=name.capitalize(),
                defaults=not hasattr(config, "from_options"),
            )
        ]
        return with_signature(command, [*own, *made])

    return decorate
