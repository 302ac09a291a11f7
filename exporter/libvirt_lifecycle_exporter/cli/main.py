"""Command line and environment -> Settings; exit codes.

Exit codes: 0 well; 1 it could not be done (a check failed, a port is taken); 2 bad settings. Every
error is one sentence on standard error.
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
from libvirt_lifecycle_exporter.cli.history_commands import events, incidents
from libvirt_lifecycle_exporter.config import settings
from libvirt_lifecycle_exporter.config.libvirt_client_config import read_client_config
from libvirt_lifecycle_exporter.config.options import DURATION, common
from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
from libvirt_lifecycle_exporter.hypervisor import library_log
from libvirt_lifecycle_exporter.runtime import log_format as logs
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.config_values import WebConfigError

log = logging.getLogger(__name__)

NAME = "libvirt-lifecycle-exporter"
_CHECK_PATIENCE = 15.0


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in flags.items() if value not in (None, ())}


def _read(context: click.Context, given: dict[str, Any]) -> Settings:
    """Join what was given before and after the command's name."""
    both = {
        **(context.obj or {}),
        **{name: value for name, value in given.items() if value not in (None, ())},
    }
    try:
        if "targets" not in both:
            client = read_client_config()
            both["targets"] = (settings.target(client.default_uri or settings.DEFAULT_URI, client.aliases),)
        read = Settings(**both, telemetry=read_telemetry(os.environ))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    logs.setup(read.log_level, read.log_format)
    for warning in read.telemetry.warnings:
        log.warning("%s", warning)
    return read


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Metrics: http://localhost:10177/metrics. Nothing to listen to yet? Try the demo command.",
)
@common()
@click.version_option(__version__, prog_name=NAME)
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Which of my libvirt domains crashed, hung, stopped or moved, when, and why?

    Listens to libvirt's domain events (read-only) and counts every lifecycle transition as Prometheus
    metrics. Without a command it runs until it is told to stop. Durations are written as in Prometheus:
    15s, 2m, 24h.
    """
    if context.invoked_subcommand is None:
        from libvirt_lifecycle_exporter.app import application as app  # noqa: PLC0415 - after library_log.redirect

        app.run(_read(context, given))
    else:
        context.obj = _given(given)


@command.command()
@common()
@click.pass_context
def check(context: click.Context, /, **given: Any) -> None:
    """Open each connection and say what is there, and what permission is missing.

    Reads the web configuration and asks the OTLP endpoints, too, where there are any.

    Exit code 0 if all is well, else 1.
    """
    from libvirt_lifecycle_exporter.hypervisor.check import check as examine  # noqa: PLC0415 - only here

    read = _read(context, given)
    entrance = AccessControl(read.web_config_file)
    if read.web_config_file:
        click.echo(f"--web.config.file {read.web_config_file}: well ({entrance.rules.config.told()})")
    findings = [examine(target.label, target.uri, _CHECK_PATIENCE) for target in read.targets]
    for finding in findings:
        uri = settings.without_password(finding.uri)
        click.echo(f"{finding.label}: {'well' if finding.well else 'not well'} ({uri})")
        for line in finding.lines:
            click.echo(f"  {line}")
    endpoints_well = _try_endpoints(read)
    _leave(0 if endpoints_well and all(finding.well for finding in findings) else 1)


def _try_endpoints(read: Settings) -> bool:
    """Say whether what is to be sent would be taken; True if it would, or if nothing is to be sent."""
    if not read.telemetry:
        return True
    from libvirt_lifecycle_exporter.otel.endpoint_check import check_endpoints  # noqa: PLC0415 - only if used

    found = check_endpoints(read.telemetry)
    for result in found:
        click.echo("\n  ".join(result.lines))
    return all(result.ok for result in found)


@command.command()
@common(without=("--libvirt.uri",))
@click.option("--pace", type=DURATION, default="1s", show_default=True, help="Between two steps of the cast.")
@click.pass_context
def demo(context: click.Context, /, pace: float, **given: Any) -> None:
    """Run on libvirt's built-in test driver, with a small cast of domains that boot, pause, save and crash.

    Needs no hypervisor and no daemon.
    """
    from libvirt_lifecycle_exporter.app import application as app  # noqa: PLC0415 - after library_log.redirect
    from libvirt_lifecycle_exporter.hypervisor.demo import URI, DemoScenario  # noqa: PLC0415 - only here

    if pace <= 0:
        raise click.UsageError("--pace must be more than 0")
    given["targets"] = (settings.target(URI),)
    # Each performance is the first one, unless somebody wants to keep it.
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-demo-", ignore_cleanup_errors=True) as scratch:
        given["journal_path"] = given["journal_path"] or f"{scratch}/journal.sqlite"
        read = _read(context, given)

        def begin(threads: ThreadRegistry) -> Callable[[], None]:
            cast = DemoScenario(pace, threads)
            cast.start()
            where = f"http://localhost:{read.listen[0].port}"
            click.echo(
                f"A cast of five domains plays on {URI}. Look at\n"
                f"  {where}/metrics\n  {where}/\nCtrl-C ends it."
            )
            return cast.stop

        app.run(read, on_start=begin)


command.add_command(events)
command.add_command(incidents)


def main() -> NoReturn:
    """Run the command; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the locale's encoding lacks is spelled, instead of ending the command.
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
    _leave(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"{NAME}: {sentence}", err=True)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End now: threads that hang inside libvirt must not hold the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
