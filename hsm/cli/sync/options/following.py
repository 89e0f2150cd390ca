"""`--continuous` and the options that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsm.errors import UsageError

if TYPE_CHECKING:
    from hsm.call_options import FollowingOptions
    from hsm.sync.follow.follow import FollowOptions


def parse_following(options: FollowingOptions, *, is_dry_run: bool) -> FollowOptions | None:
    """Read how sweeps are to be followed; None without `--continuous`.

    Raises:
        UsageError: The options do not go together, or one has no such value.
    """
    if not options.get("continuous"):
        for name in ("interval", "expect", "settle", "stale"):
            if options.get(name) is not None:
                raise UsageError(f"--{name} goes with --continuous.", hint="Add --continuous.", kind="usage")
        return None
    if is_dry_run:
        raise UsageError("--dry-run does not go with --continuous.", hint="Leave one of them out.", kind="usage")
    expect = options.get("expect")
    if expect is not None and expect < 1:
        raise UsageError("--expect takes a number of runs, at least 1.", hint="Try `--expect 20`.", kind="usage")
    from hsm.sync.follow.follow import INTERVAL_SECONDS, FollowOptions
    from hsm.sync.follow.judgement import SETTLE_SECONDS, STALE_SECONDS, FollowLimits

    settle = _parse_seconds("--settle", options.get("settle"), SETTLE_SECONDS)
    stale = _parse_seconds("--stale", options.get("stale"), STALE_SECONDS)
    interval = _parse_seconds("--interval", options.get("interval"), INTERVAL_SECONDS)
    return FollowOptions(interval, FollowLimits(expect, settle, stale))


def _parse_seconds(option: str, text: str | None, default: float) -> float:
    from hsm.units import parse_duration

    return default if text is None else parse_duration(text, option=option)
