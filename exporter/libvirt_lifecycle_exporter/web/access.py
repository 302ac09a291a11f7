"""The web configuration in force: read at the start, and again whenever its file or a certificate changes.

Law: what cannot be used at the start is refused. Later, what cannot be used changes nothing: what was in
force stays, a log line says why, and a metric shows it. What guards the entrance (TLS, users) cannot be
taken away while it runs: a file that is half written must not open it. A file is read once it has rested.
"""

import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.config.settings import expand_path
from libvirt_lifecycle_exporter.runtime.threads import WEB_CONFIG, SupervisedThread, ThreadRegistry
from libvirt_lifecycle_exporter.web.config import WebConfig, parse
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.tls import context

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks at the files; one that changed must look the same twice."""
_AGAIN: Final = 10.0
"""Seconds after which what failed is tried again, for what no file's dates tell."""


CAUSES: Final = ("tls", "client_certificate", "credentials", "rate", "crowded", "slow")
"""Why somebody can be turned away."""


Look = tuple[int, ...] | None


class Rules(NamedTuple):
    """What is in force."""

    config: WebConfig
    context: ssl.SSLContext | None
    """For new connections; None: without TLS."""
    seen: tuple[Look, ...] = ()
    """How the files looked right before they were read."""


def rules(file: Path) -> Rules:
    """Read the configuration and all that it names. Raises ``WebConfigError``."""
    try:
        seen = _looks([file])
        config = parse(file.read_text("utf-8"), file.parent)
        seen += _looks(config.files)
        return Rules(config, context(config.tls) if config.tls else None, seen)
    except OSError as error:
        raise WebConfigError(f"--web.config.file {file}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise WebConfigError(f"--web.config.file {file}: it is no UTF-8") from None
    except WebConfigError as error:
        raise WebConfigError(f"--web.config.file {file}: {error}") from None


class AccessControl:
    """Knows the rules; without a file there are none."""

    def __init__(
        self,
        path: str = "",
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """Raises ``WebConfigError``."""
        self._clock = clock
        self._file = expand_path(path) if path else None
        self.rules = rules(self._file) if self._file else Rules(WebConfig(), None)
        self._warn()
        self._seen = self._tried = self.rules.seen
        self.reloaded_at = time.time() if self._file else None
        """When a configuration was last taken; Unix time, seconds. None: there is none."""
        self.trouble = ""
        """Why what is there now is not in force."""
        self._tried_at = clock()
        self.refused: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
        """How many were turned away, by cause."""
        self._reading = threading.Lock()
        self._over = threading.Event()
        self.threads = threads or ThreadRegistry()
        """The registry of the whole exporter."""
        self._thread = SupervisedThread(self.threads, WEB_CONFIG, "web-config", self._watch, self._over)

    def start(self) -> None:
        """Watch the files."""
        if self._file is not None:
            self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def look(self) -> None:
        """Look at the files once, and read them if they changed and rest."""
        if self._file is None:
            return
        with self._reading:
            seen = _looks([self._file, *self.rules.config.files])
            has_rested, self._seen = seen == self._seen, seen
            is_due = self.trouble and self._clock() - self._tried_at > _AGAIN
            if has_rested and (seen != self._tried or is_due):
                self._tried, self._tried_at = seen, self._clock()
                self._read(self._file)

    def reload(self) -> None:
        """Read the files now, changed or not, and log the result."""
        if self._file is None:
            log.info("nothing to reload: there is no --web.config.file")
            return
        with self._reading:
            self._tried = self._seen = _looks([self._file, *self.rules.config.files])
            self._tried_at = self._clock()
            self._read(self._file, tells_again=True)

    def _read(self, file: Path, *, tells_again: bool = False) -> None:
        try:
            found = rules(file)
            _keep_closed(file, self.rules.config, found.config)
        except WebConfigError as error:
            if tells_again or str(error) != self.trouble:
                log.error("%s; what was in force stays", error)  # noqa: TRY400 - the sentence says it all
            self.trouble = str(error)
            return
        self.rules, self.trouble, self.reloaded_at = found, "", time.time()
        self._seen = self._tried = found.seen
        log.info("the web configuration %s was read again and is in force", file)
        self._warn()

    def _warn(self) -> None:
        for warning in self.rules.config.warnings():
            log.warning("--web.config.file %s: %s", self._file, warning)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            with self.threads.guard(WEB_CONFIG):
                self.look()


def _keep_closed(file: Path, before: WebConfig, after: WebConfig) -> None:
    for what, was, is_now in (("TLS", before.tls, after.tls), ("users", before.users, after.users)):
        if was and not is_now:
            raise WebConfigError(
                f"--web.config.file {file}: it has no {what} any more, which takes a restart"
            )


def _looks(files: Iterable[Path]) -> tuple[Look, ...]:
    return tuple(_look(file) for file in files)


def _look(file: Path) -> Look:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)
