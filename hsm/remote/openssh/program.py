"""The `ssh` program of this machine, for one target: run, asked for the settings in force, and explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hsm.errors import NoAnswerError, NoShellError, NoSshError, UnreachableError
from hsm.process.answer import AnswerTooLongError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.openssh.command_line import (
    CANNOT_FORK,
    SshTarget,
    hide_secret_bytes,
    hide_secrets,
    make_resolve_argv,
    make_session_options,
    make_shown_command,
    parse_resolved,
)

if TYPE_CHECKING:
    from hsm.remote.openssh.host_keys import StoredKey

LOGIN_TIMEOUT_SECONDS = 60


class SshProgram:
    """ssh as it is called for one target. Nothing is started by the constructor.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
    """

    def __init__(self, name: str, settings: SshTarget, runner: Runner) -> None:
        self.name = name
        self.settings = settings
        self._runner = runner
        self._resolved: dict[str, str] = {}

    @property
    def address(self) -> str:
        """The host in the form rsync takes before the colon: an IPv6 address in brackets."""
        host = self.settings.host
        return f"[{host}]" if ":" in host else host

    @property
    def command_line(self) -> str:
        """The command a person types to try a login."""
        return make_shown_command(self.settings)

    @property
    def session_options(self) -> tuple[str, ...]:
        """The options, as `Name=value`, that let sessions run programs whatever the user's settings say."""
        return make_session_options(self.resolve())

    @property
    def jump(self) -> str:
        """The way that the connection takes by the settings in force, once they are read; empty: straight there."""
        for key, prefix in (("proxyjump", ""), ("proxycommand", "the ProxyCommand ")):
            value = self._resolved.get(key, "none")
            if value != "none":
                return f"{prefix}{value}"
        return ""

    def resolve(self) -> Mapping[str, str]:
        """Read the settings in force for this host, as `ssh -G` prints them, names in small letters.

        Only ssh itself knows all of `Include`, `Match` and the rest; HSM never parses its configuration. Runs ssh
        once. The values of a setting that has several are in lines.

        Raises:
            UnreachableError: ssh does not accept its configuration, or is missing.
        """
        if not self._resolved:
            completed = self._print_settings(stays=False)
            if completed.returncode != 0 and CANNOT_FORK in completed.stderr_text:
                completed = self._print_settings(stays=True)
            if completed.returncode != 0:
                raise self.explain(completed.stderr_text)
            self._resolved = parse_resolved(completed.stdout.decode("utf-8", "replace"))
        return self._resolved

    def _print_settings(self, *, stays: bool) -> Completed:
        return self.run(make_resolve_argv(self.settings, stays=stays), timeout_seconds=LOGIN_TIMEOUT_SECONDS)

    def run(
        self,
        argv: list[str],
        *,
        timeout_seconds: float,
        stdin: bytes = b"",
        foreground: bool = False,
        begin: bytes = b"",
    ) -> Completed:
        """Run ssh; see `hsm.process.runner.Runner.run`.

        Raises:
            NoSshError: There is no ssh on this machine.
            NoAnswerError: It did not end in time.
        """
        try:
            return self._runner.run(
                argv, stdin=stdin, timeout_seconds=timeout_seconds, foreground=foreground, begin=begin
            )
        except AnswerTooLongError as error:
            raise error.name_target(self.name, self.command_line) from error
        except ProgramMissingError as error:
            raise NoSshError(
                "There is no `ssh` on this machine.",
                hint="Install OpenSSH's client, for example `apt-get install openssh-client`.",
            ) from error
        except CommandTimeoutError as error:
            raise self.make_timeout_error(str(error)) from error

    def explain(self, text: str, *, beside: str = "") -> UnreachableError:
        """Make the error to raise of ssh's complaint; see `hsm.remote.openssh.diagnosis.diagnose_ssh` for `beside`."""
        from hsm.remote.openssh.diagnosis import diagnose_ssh  # noqa: PLC0415 - its patterns take time
        from hsm.remote.openssh.host_keys import explain_host_key  # noqa: PLC0415 - as above

        resolved = self._resolved
        text, beside = hide_secrets(text, self.settings), hide_secrets(beside, self.settings)
        error = diagnose_ssh(
            text,
            target=self.name,
            host=resolved.get("hostname", self.settings.host),
            port=resolved.get("port", ""),
            command=self.command_line,
            jump=self.jump,
            beside=beside,
        )
        return explain_host_key(error, text, runner=self._runner, name=self._known_name, command=self._asking_command)

    def explain_no_shell(self, noise: bytes, complaint: bytes, *, is_refused: bool) -> NoShellError:
        """Make the error to raise where a session ran no program.

        Args:
            noise: The session's standard output.
            complaint: Its standard error.
            is_refused: The server said that it starts none.
        """
        from hsm.remote.noise import make_no_shell_error  # noqa: PLC0415 - only after a failure

        noise, complaint = (hide_secret_bytes(part, self.settings) for part in (noise, complaint))
        said = "the server refuses to start any" if is_refused else ""
        return make_no_shell_error(
            self.name, command_line=self.command_line, noise=noise, complaint=complaint, said=said
        )

    def make_timeout_error(self, said: str) -> NoAnswerError:
        """Make the error for a target that does not answer."""
        return NoAnswerError(
            f"Target {self.name} ({self.settings.host}) does not answer: {said}.",
            hint=f"Try `{self.command_line}` by hand.",
            kind="connection_timeout",
        )

    def list_known_keys(self) -> list[StoredKey]:
        """Look the host's keys up in the files of known hosts, the user's first. Changes nothing."""
        from hsm.remote.openssh.host_keys import list_known_keys  # noqa: PLC0415 - few need it

        return list_known_keys(self._runner, self.resolve(), name=self._known_name)

    @property
    def _known_name(self) -> str:
        from hsm.remote.openssh.host_keys import make_known_name  # noqa: PLC0415 - few need it

        settings = self._resolved
        host = settings.get("hostname", self.settings.host)
        return make_known_name(host, settings.get("port", ""), settings.get("hostkeyalias", ""))

    @property
    def _asking_command(self) -> str:
        """The command by which a person is asked about an unknown host key, also where the settings forbid to ask."""
        asks = self._resolved.get("stricthostkeychecking", "ask") == "ask"
        return make_shown_command(self.settings, () if asks else ("-o", "StrictHostKeyChecking=ask"))
