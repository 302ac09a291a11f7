"""The web configuration that is active: read at the start, reloaded when its file or a certificate changes.

Invariants:

* A configuration that cannot be used is refused at the start. Later it changes nothing: the previous one
  stays active, the error is logged once, and a metric shows it.
* TLS and users cannot be removed while the exporter runs: a half-written file must not open access.
* A file is read after it has looked the same in two successive checks, so not while it is being written.
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
from libvirt_lifecycle_exporter.web.tls import build_context

log = logging.getLogger(__name__)

_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of the files."""
_RETRY_INTERVAL: Final = 10.0
"""Seconds after which a failed reload is retried even if no watched file has changed."""

REFUSAL_CAUSES: Final = ("tls", "client_certificate", "credentials", "rate", "crowded", "slow")
"""Values of the label ``cause`` of libvirt_lifecycle_exporter_web_refused_total."""

Fingerprint = tuple[int, ...] | None
"""Device, inode, size, mtime, ctime (nanoseconds) and mode of a file; None: the file cannot be examined."""


class ActiveConfig(NamedTuple):
    """A configuration together with what was built from it."""

    config: WebConfig
    tls_context: ssl.SSLContext | None
    """Context for new connections; None: plain HTTP."""
    fingerprints: tuple[Fingerprint, ...] = ()
    """Of the configuration file and the files that it names, taken before each was read."""


def load(file: Path) -> ActiveConfig:
    """Read the configuration file and the files that it names. Raises ``WebConfigError``."""
    try:
        fingerprints = _fingerprints([file])
        config = parse(file.read_text("utf-8"), file.parent)
        fingerprints += _fingerprints(config.files)
        return ActiveConfig(config, build_context(config.tls) if config.tls else None, fingerprints)
    except OSError as error:
        raise WebConfigError(f"--web.config.file {file}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise WebConfigError(f"--web.config.file {file}: not valid UTF-8") from None
    except WebConfigError as error:
        raise WebConfigError(f"--web.config.file {file}: {error}") from None


class AccessControl:
    """Hold the active configuration and count refused clients. Without a file, access is open to all.

    ``active`` is replaced as a whole, so other threads may read it without a lock.
    """

    def __init__(
        self,
        path: str = "",
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``path``: of the file; empty: none. ``clock``: monotonic, seconds. Raises ``WebConfigError``."""
        self._clock = clock
        self._file = expand_path(path) if path else None
        self.active = load(self._file) if self._file else ActiveConfig(WebConfig(), None)
        self._log_warnings()
        self._fingerprints = self._attempted = self.active.fingerprints
        self.reloaded_at = time.time() if self._file else None
        """When the active configuration was loaded; Unix time, seconds. None: there is no file."""
        self.reload_error = ""
        """Why the current file is not active; empty: it is."""
        self._attempted_at = clock()
        self.refused: Counter[str] = Counter(dict.fromkeys(REFUSAL_CAUSES, 0))
        """Refused or closed connections and requests, by cause."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.threads = threads or ThreadRegistry()
        """The registry of the whole exporter."""
        self._thread = SupervisedThread(self.threads, WEB_CONFIG, "web-config", self._run, self._stopping)

    def start(self) -> None:
        """Start checking the files for changes, on a thread."""
        if self._file is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop checking; does not wait for the thread."""
        self._stopping.set()

    def check_files(self) -> None:
        """Check the files once; reload if they have changed and are stable, or if a retry is due."""
        if self._file is None:
            return
        with self._lock:
            fingerprints = _fingerprints([self._file, *self.active.config.files])
            is_stable, self._fingerprints = fingerprints == self._fingerprints, fingerprints
            is_retry_due = self.reload_error and self._clock() - self._attempted_at > _RETRY_INTERVAL
            if is_stable and (fingerprints != self._attempted or is_retry_due):
                self._attempted, self._attempted_at = fingerprints, self._clock()
                self._reload(self._file)

    def reload(self) -> None:
        """Read the files now, changed or not, and log the result."""
        if self._file is None:
            log.info("nothing to reload: --web.config.file is not set")
            return
        with self._lock:
            self._attempted = self._fingerprints = _fingerprints([self._file, *self.active.config.files])
            self._attempted_at = self._clock()
            self._reload(self._file, log_known_error=True)

    def _reload(self, file: Path, *, log_known_error: bool = False) -> None:
        try:
            loaded = load(file)
            _check_not_removed(file, self.active.config, loaded.config)
        except WebConfigError as error:
            if log_known_error or str(error) != self.reload_error:
                log.error(  # noqa: TRY400 - the message is complete without a traceback
                    "web configuration not reloaded; previous one stays active", extra={"error": str(error)}
                )
            self.reload_error = str(error)
            return
        self.active, self.reload_error, self.reloaded_at = loaded, "", time.time()
        self._fingerprints = self._attempted = loaded.fingerprints
        log.info("web configuration reloaded", extra={"path": str(file)})
        self._log_warnings()

    def _log_warnings(self) -> None:
        for warning in self.active.config.warnings():
            log.warning("questionable web configuration", extra={"path": str(self._file), "warning": warning})

    def _run(self) -> None:
        while not self._stopping.wait(_CHECK_INTERVAL):
            with self.threads.guard(WEB_CONFIG):
                self.check_files()


def _check_not_removed(file: Path, before: WebConfig, after: WebConfig) -> None:
    for section, old, new in (
        ("tls_server_config", before.tls, after.tls),
        ("basic_auth_users", before.users, after.users),
    ):
        if old and not new:
            raise WebConfigError(
                f"--web.config.file {file}: {section} was removed; restart the exporter to apply that"
            )


def _fingerprints(files: Iterable[Path]) -> tuple[Fingerprint, ...]:
    return tuple(_fingerprint(file) for file in files)


def _fingerprint(file: Path) -> Fingerprint:
    try:
        status = file.stat()
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
    )
