"""The commands ``run`` (the default), ``check`` and ``demo``: options and environment become ``Settings``.

Exit codes: 0 success; 1 failure (a failed check, an address in use); 2 invalid settings; 130 interrupted.
Every error is one sentence on standard error.
"""

import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

import click

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.config import settings
from libvirt_lifecycle_exporter.config.libvirt_client_config import read_client_config
from libvirt_lifecycle_exporter.config.options import DURATION, add_options
from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
from libvirt_lifecycle_exporter.hypervisor import library_log
from libvirt_lifecycle_exporter.runtime import log_format
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.config_values import WebConfigError

log = logging.getLogger(__name__)

NAME = "libvirt-lifecycle-exporter"
_CHECK_TIMEOUT = 15.0
"""Seconds that ``check`` waits for one connection."""


def _set_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were set."""
    return {field: value for field, value in options.items() if value not in (None, ())}


def _build_settings(context: click.Context, options: dict[str, Any]) -> Settings:
    """Merge the options before and after the command, validate them, and set up logging.

    Raises click.UsageError.
    """
    merged = {**(context.obj or {}), **_set_options(options)}
    try:
        if "targets" not in merged:
            client = read_client_config()
            merged["targets"] = (
                settings.parse_target(client.default_uri or settings.DEFAULT_URI, client.aliases),
            )
        result = Settings(**merged, telemetry=read_telemetry(os.environ))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    log_format.setup(result.log_level, result.log_format)
    for warning in result.telemetry.warnings:
        log.warning("%s", warning)
    return result


class _LazyGroup(click.Group):
    """Imports the history commands only if one is used or listed: the exporter does not need them."""

    _HISTORY = ("events", "incidents")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._HISTORY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._HISTORY:
            from libvirt_lifecycle_exporter.cli import history_commands  # noqa: PLC0415 - see above

            found: click.Command = getattr(history_commands, cmd_name)
            return found
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Metrics: http://localhost:10177/metrics. Without a hypervisor, try the demo command.",
)
@add_options()
@click.version_option(__version__, prog_name=NAME)
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Prometheus exporter for lifecycle events of libvirt domains: crashes, hangs, stops, migrations.

    Receives libvirt's domain events over a read-only connection and counts every lifecycle transition.
    Without a command, the exporter runs until it receives SIGTERM or SIGINT. Durations use Prometheus'
    notation: 15s, 2m, 24h.
    """
    if context.invoked_subcommand is None:
        from libvirt_lifecycle_exporter.app.process import run  # noqa: PLC0415 - after library_log.redirect

        run(_build_settings(context, options))
    else:
        context.obj = _set_options(options)


@command.command()
@add_options()
@click.pass_context
def check(context: click.Context, /, **options: Any) -> None:
    """Check each libvirt connection: access, supported events, hang detection, missing permissions.

    Also checks the web configuration and the OTLP endpoints, if configured.

    Exit code 0: all checks are OK; 1: a check FAILED; 2: invalid settings.
    """
    from libvirt_lifecycle_exporter.hypervisor.check import check_connection  # noqa: PLC0415 - only here

    checked = _build_settings(context, options)
    access = AccessControl(checked.web_config_file)
    if checked.web_config_file:
        click.echo(f"--web.config.file {checked.web_config_file}: OK ({access.active.config.summary()})")
    results = [check_connection(target.label, target.uri, _CHECK_TIMEOUT) for target in checked.targets]
    for result in results:
        uri = settings.without_password(result.uri)
        click.echo(f"{result.label}: {'OK' if result.is_ok else 'FAILED'} ({uri})")
        for line in result.lines:
            click.echo(f"  {line}")
    endpoints_are_ok = _check_endpoints(checked)
    _exit(0 if endpoints_are_ok and all(result.is_ok for result in results) else 1)


def _check_endpoints(checked: Settings) -> bool:
    """Check the OTLP endpoints and print the result; return True if all are OK or none is configured."""
    if not checked.telemetry:
        return True
    from libvirt_lifecycle_exporter.otel.endpoint_check import check_endpoints  # noqa: PLC0415 - only if used

    results = check_endpoints(checked.telemetry)
    for result in results:
        click.echo("\n  ".join(result.lines))
    return all(result.ok for result in results)


@command.command()
@add_options(without=("--libvirt.uri",))
@click.option(
    "--pace",
    type=DURATION,
    default="1s",
    show_default=True,
    help="Interval between two steps of the scenario.",
)
@click.pass_context
def demo(context: click.Context, /, pace: float, **options: Any) -> None:
    """Run with libvirt's built-in test driver and five domains that boot, pause, save and crash.

    Needs no hypervisor and no libvirt daemon.
    """
    from libvirt_lifecycle_exporter.app.process import run  # noqa: PLC0415 - after library_log.redirect
    from libvirt_lifecycle_exporter.hypervisor.demo import URI, DemoScenario  # noqa: PLC0415 - only here

    if pace <= 0:
        raise click.UsageError("--pace must be more than 0")
    options["targets"] = (settings.parse_target(URI),)
    # Each demo starts with an empty journal, unless a path is set.
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-demo-", ignore_cleanup_errors=True) as directory:
        options["journal_path"] = options["journal_path"] or f"{directory}/journal.sqlite"
        demo_settings = _build_settings(context, options)

        def start_scenario(threads: ThreadRegistry) -> Callable[[], None]:
            scenario = DemoScenario(pace, threads)
            scenario.start()
            url = f"http://localhost:{demo_settings.listen_addresses[0].port}"
            click.echo(
                f"Demo with five domains on {URI}. Open\n  {url}/metrics\n  {url}/\nPress Ctrl-C to stop."
            )
            return scenario.stop

        run(demo_settings, on_start=start_scenario)


def main() -> NoReturn:
    """Run the command line; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Escape characters that the locale's encoding lacks; the default raises UnicodeEncodeError.
            stream.reconfigure(errors="backslashreplace")
    library_log.redirect(os.environ)
    try:
        code = command.main(standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except WebConfigError as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(str(error), 1)
    _exit(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"{NAME}: {sentence}", err=True)
    _exit(code)


def _exit(code: int) -> NoReturn:
    """End the process immediately, because threads that hang inside libvirt cannot be joined."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
