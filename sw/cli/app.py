# SPDX-License-Identifier: Apache-2.0
"""The `mtia` command: finds its verbs, and turns faults into sentences.

Each module of `sw.cli.verbs` is one verb: its `command` function is the command, the module's name
(underscores become dashes) the verb.
"""

import difflib
import importlib
import os
import pkgutil
import sys
from typing import Annotated, Any

import typer

from sw import __version__
from sw.cli import verbs
from sw.cli.signals import Ended, ends_by_signal
from sw.errors import UserError, describe

__all__ = ["build_app", "main"]

_FAULT, _USAGE, _INTERRUPT = 1, 2, 130


def build_app(verb: str | None = None) -> typer.Typer:
    """The application with all verbs, or with one alone.

    Alone a verb starts quickly, and works although a package that another one needs is missing.

    Raises
    ------
    UserError
        When there is no such verb.
    """
    modules = {
        info.name.replace("_", "-"): info.name for info in pkgutil.iter_modules(verbs.__path__)
    }
    if verb is not None and verb not in modules:
        near = difflib.get_close_matches(verb, modules, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"There is no verb '{verb}'; there are {', '.join(sorted(modules))}.{hint}")
    app = typer.Typer(
        name="mtia",
        help="Tools around the open MTIA-class accelerator.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in sorted(modules) if verb is None else [verb]:
        module = importlib.import_module(f"{verbs.__name__}.{modules[name]}")
        app.command(name)(module.command)

    @app.callback()
    def options(  # pyright: ignore[reportUnusedFunction]
        version: Annotated[
            bool,
            typer.Option(
                "--version", help="Print the version.", is_eager=True, callback=_show_version
            ),
        ] = False,
    ) -> None:
        pass

    return app


def _show_version(wanted: bool) -> None:
    """Print the version, and end."""
    if wanted:
        print(f"mtia {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code.

    A fault of the user's or the machine's is told in one sentence on stderr. A fault of ours shows
    its traceback, as does everything with MTIA_TRACEBACK=1.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        verb = arguments[0] if arguments and not arguments[0].startswith("-") else None
        with ends_by_signal():
            result: Any = build_app(verb)(arguments, prog_name="mtia", standalone_mode=False)
        if result == _INTERRUPT:  # what Typer makes of a KeyboardInterrupt
            print(f"mtia: {describe(KeyboardInterrupt())}", file=sys.stderr)
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "mtia"
        text = error.format_message().strip()
        if text:  # without verb or arguments the help was printed instead
            end = "" if text.endswith((".", "?", "!")) else "."
            print(f"{name}: {text}{end} See '{name} --help'.", file=sys.stderr)
        return _USAGE
    except BrokenPipeError:
        # The reader went away, as in `mtia configs | head`; Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAULT
    except Ended as error:
        print(f"mtia: {error}", file=sys.stderr)
        return error.exit_code
    except (Exception, KeyboardInterrupt) as error:
        sentence = describe(error)
        if sentence is None or os.environ.get("MTIA_TRACEBACK"):
            raise
        print(f"mtia: {sentence}", file=sys.stderr)
        return _INTERRUPT if isinstance(error, KeyboardInterrupt) else _FAULT


if __name__ == "__main__":
    sys.exit(main())
