"""Show `hsm sync` at work: a real sweep goes to a private sshd on 127.0.0.1, and everything is checked.

Where rsync or OpenSSH is missing, a small SFTP server takes sshd's place, and SFTP carries the files. All of it happens
in `.demo/` in the repository, which is made anew each time and stays for a look afterwards. `make demo` runs it.
"""

from __future__ import annotations

import filecmp
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from demo_day import show_day
from demo_stage import (
    DEMO,
    DESKTOP,
    HSM,
    LAPTOP,
    OTHER_SWEEP,
    PLAIN_CONFIG,
    PROJECT,
    REPOSITORY,
    SAMPLE,
    SWEEP,
    TARGET,
    DemoError,
    list_results,
    run_hsm,
    show_heading,
    show_text,
)
from private_sftp import PrivateSftp
from private_sshd import PrivateSshd, find_sshd
from write_sweep import write_sweep

if TYPE_CHECKING:
    from types import FrameType

SYNC = ["sync", "to", SWEEP, "--target", "desktop"]


def write_project() -> tuple[Path, ...]:
    """Write the project as a cluster leaves it, and return the runs of the sweep that is to be sent."""
    show_heading("A project with two sweeps, written by wandb (offline)")
    write_sweep(PROJECT, OTHER_SWEEP, 2)
    runs = write_sweep(PROJECT, SWEEP, 6, n_killed=1)
    show_text(f"{PROJECT.relative_to(REPOSITORY)} holds")
    show_text(f"  {SWEEP} with {len(runs)} runs, one of them killed: this one is to go to the desktop")
    show_text(f"  {OTHER_SWEEP} with 2 runs: this one is to stay")
    return runs


def read_sample() -> str:
    """Read the repository's sample configuration."""
    return SAMPLE.read_text() if SAMPLE.exists() else PLAIN_CONFIG


def make_demo_config(sample: str, server: PrivateSshd | PrivateSftp) -> str:
    """Point the repository's sample configuration at the private server.

    Host, login and paths are the demo's; everything else stays as the sample has it.
    """
    config = yaml.safe_load(sample)
    desktop = config["sync_targets"]["desktop"]
    desktop |= {"host": server.host, "port": server.port, "user": server.user}
    root = TARGET if isinstance(server, PrivateSshd) else Path("/", TARGET.relative_to(DESKTOP))
    desktop["paths"] = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb"), "project_root": str(root)}
    desktop["ssh"] = {
        "identity_file": str(server.identity_file),
        "options": {"UserKnownHostsFile": str(server.known_hosts)},
    }
    wanted = {"default_target": "desktop", "sync_targets": {"desktop": desktop}}
    return yaml.safe_dump({**config, **wanted}, sort_keys=False)


def write_config(server: PrivateSshd | PrivateSftp) -> None:
    """Write the configuration of the project on the cluster and of its copy on a laptop, and show it."""
    kind = "sshd" if isinstance(server, PrivateSshd) else "SFTP server"
    show_heading(f"A desktop: a private {kind} on {server.host}, port {server.port}")
    text = make_demo_config(read_sample(), server)
    for project in (LAPTOP, PROJECT):
        path = project / ".hsm" / "sync_config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    show_text(f"{path.relative_to(REPOSITORY)}:")
    show_text("".join(f"    {line}" for line in path.read_text().splitlines(keepends=True)).rstrip())


def read_states() -> dict[Path, tuple[int, int]]:
    """Read what would change if a file at the target were written again: its inode and its time."""
    states = {path: (TARGET / path).stat() for path in list_results(TARGET)}
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in states.items()}


def show_tree() -> None:
    """Show what has arrived: each folder of files, a run as one line."""
    groups: dict[Path, list[Path]] = {}
    for path in list_results(TARGET):
        depth = 2 if path.parts[0] == "wandb" else 3
        groups.setdefault(Path(*path.parts[:depth]), []).append(path)
    show_text(str(TARGET.relative_to(REPOSITORY)))
    for folder, paths in groups.items():
        n_kilobytes = sum((TARGET / path).stat().st_size for path in paths) / 1000
        show_text(f"  {f'{folder}/':<48} {len(paths):>3} files {n_kilobytes:>7.1f} kB")


def check_arrived(runs: tuple[Path, ...], *, time_unit_ns: int) -> None:
    """Compare what has arrived with its source: the choice of runs, every byte, every time.

    Args:
        runs: Those that should have come.
        time_unit_ns: In which times are kept on the way.

    Raises:
        DemoError: Something is missing, is not the same, or should not have come.
    """
    arrived = list_results(TARGET)
    folders = {path.parts[1] for path in arrived if path.parts[0] == "wandb"}
    if wrong := folders ^ {run.name for run in runs}:
        raise DemoError(f"these runs should have arrived and have not, or the reverse: {sorted(wrong)}")
    show_text(f"The {len(runs)} runs of {SWEEP} have arrived, and no other.")
    for path in arrived:
        here, there = PROJECT / path, TARGET / path
        times = {path.stat().st_mtime_ns // time_unit_ns for path in (here, there)}
        if not filecmp.cmp(here, there, shallow=False) or len(times) > 1:
            raise DemoError(f"{path} is not the same as its source")
    cut = "" if time_unit_ns == 1 else ", cut to seconds as SFTP keeps them"
    show_text(f"All {len(arrived)} files are the same as their sources, byte for byte, and so are their times{cut}.")
    check_left(list_sources(runs) - set(arrived))


def list_sources(runs: tuple[Path, ...]) -> set[Path]:
    """List the files of the sweep here, relative to the project, without wandb's links to logs."""
    folders = (PROJECT / "sweeps" / "outputs" / SWEEP, *runs)
    paths = (path for folder in folders for path in folder.rglob("*"))
    return {path.relative_to(PROJECT) for path in paths if path.is_file() and not path.is_symlink()}


def check_left(left: set[Path]) -> None:
    """Check that only those files stayed here that a sync leaves out.

    Raises:
        DemoError: Another one stayed.
    """
    media = {path for path in left if path.parts[2:4] == ("files", "media")}
    deeper = {path for path in left if path.parts[0] == "sweeps" and len(path.parts) > 4}
    if left != media | deeper:
        raise DemoError(f"these have not arrived: {', '.join(map(str, sorted(left - media - deeper)))}")
    show_text(f"Left here: {len(media)} older versions of media, {len(deeper)} logs in folders of the sweep.")


def show_sync(runs: tuple[Path, ...], *, time_unit_ns: int) -> None:
    """Show the preview, the sync, what has arrived, and a second sync.

    Raises:
        DemoError: Something is not as it should be.
    """
    show_heading("What would a sync do?")
    run_hsm([*SYNC, "--dry-run"])
    if TARGET.exists():
        raise DemoError("the preview has touched the target")
    show_heading("The sync")
    run_hsm(SYNC)
    show_heading("What has arrived")
    show_tree()
    check_arrived(runs, time_unit_ns=time_unit_ns)
    show_heading("The same again: there is nothing to do")
    before = read_states()
    run_hsm(SYNC)
    if read_states() != before:
        raise DemoError("the second sync has written files again")
    show_text("No file at the desktop was written again.")


def show_end(sshd: PrivateSshd) -> None:
    """End the shared login, and show that it was the only one.

    Raises:
        DemoError: There were several logins.
    """
    show_heading("The end")
    run_hsm(["sync", "logout", "desktop"])
    if sshd.count_logins() != 1:
        raise DemoError(f"sshd counted {sshd.count_logins()} logins, where one should serve all")
    show_text(f"One login has served all of this; sshd counted {sshd.count_sessions()} sessions over it.")


def find_missing() -> list[str]:
    """The programs that the demo needs for rsync over ssh and that this machine lacks."""
    missing = [name for name in ("rsync", "ssh", "ssh-keygen") if shutil.which(name) is None]
    return missing if find_sshd() is not None else [*missing, "sshd"]


def run_by_sshd(runs: tuple[Path, ...]) -> None:
    """Show it with a private sshd, and rsync."""
    with PrivateSshd(DEMO / "sshd", home=DESKTOP) as sshd:
        write_config(sshd)
        try:
            show_sync(runs, time_unit_ns=1)
            show_day(runs, can_clean=True)
            show_end(sshd)
        finally:  # a second logout does nothing
            subprocess.run([HSM, "sync", "logout", "desktop"], cwd=PROJECT, check=False, capture_output=True)


def run_by_sftp(runs: tuple[Path, ...]) -> None:
    """Show it with a private SFTP server, which runs no commands."""
    with PrivateSftp(DEMO / "sftp", root=DESKTOP) as server:
        write_config(server)
        try:
            show_sync(runs, time_unit_ns=10**9)
            show_day(runs, can_clean=False)
        finally:  # where there is an ssh, it was tried first, and its login stays open
            subprocess.run([HSM, "sync", "logout", "desktop"], cwd=PROJECT, check=False, capture_output=True)


def run_demo() -> None:
    """Run the demo from a clean folder, and end all that it started."""
    shutil.rmtree(DEMO, ignore_errors=True)
    missing = find_missing()
    if missing:
        show_text(f"Not on this machine: {', '.join(missing)}. A small SFTP server takes the place of sshd and rsync.")
    runs = write_project()
    (run_by_sftp if missing else run_by_sshd)(runs)
    show_text(f"All of it is in {DEMO}")


def end_by_signal(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an exit, so that what was started is ended."""
    sys.exit(128 + number)


def main() -> int:
    """Run the demo, and return its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    try:
        run_demo()
    except DemoError as error:
        print(f"\nThe demo found something wrong: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
