"""The report as one page, to be opened from disk: without a network, and without trust in the names of runs.

plotly.js is part of the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path

from hsm.report.export import check_extra, make_write_error
from hsm.report.page_data import make_page_data
from hsm.report.report import Report

PLOTLY_MODULE = "plotly.offline"

_PART = re.compile(r"@([A-Z]+)@")
# Content-Security-Policy: exactly the page's own two scripts, by their checksums, and no connection, so that even a
# mistake in the page could not load or send anything.
# Plotly compiles what draws the parallel coordinates (WebGL) as it runs, hence 'unsafe-eval'; without it they stay
# empty, and nothing says so.
_POLICY = (
    "default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def make_page(report: Report, *, now: float) -> str:
    """Make the page, with plotly.js in it (about 5 MB).

    Args:
        report: Read with its curves.
        now: Seconds since 1970.

    Raises:
        UsageError: plotly is not installed.
    """
    plotly, script = _make_script(_load_plotly()), _make_script(_read_part("page.js"))
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in (plotly, script))
    parts = {
        # A name may hold surrogates, which a UTF-8 file cannot: as references they are shown as what they are.
        "TITLE": html.escape(f"{report.sweep}: report").encode("ascii", "xmlcharrefreplace").decode("ascii"),
        # The attribute has double quotes; those of 'none' may stay, so that a person can read the policy.
        "POLICY": html.escape(_POLICY.format(hashes=hashes), quote=True).replace("&#x27;", "'"),
        "STYLE": _read_part("page.css"),
        "DATA": _make_json(make_page_data(report, now=now)),
        "PLOTLY": plotly,
        "SCRIPT": script,
    }
    return _PART.sub(lambda match: parts.get(match[1], match[0]), _read_part("page.html"))


def save_page(report: Report, path: Path, *, now: float) -> None:
    """Write the page to a file.

    Raises:
        UsageError: plotly is not installed.
        TargetError: The file cannot be written.
    """
    page = make_page(report, now=now)
    try:
        path.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise make_write_error(path, error) from error


def _load_plotly() -> str:
    check_extra(PLOTLY_MODULE, "--html")
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - an extra

    return str(get_plotlyjs())


def _read_part(name: str) -> str:
    return (resources.files("hsm.report") / "page" / name).read_text("utf-8")


def _make_script(text: str) -> str:
    """Make text safe in a script element, which would end, or change its meaning, in the middle."""
    # Neither may stand in a script element (HTML, 4.12.1.3). In a text of JavaScript the backslash changes nothing.
    safe = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    # Browsers take the checksum after they have made every line break a line feed.
    return safe.replace("\r\n", "\n").replace("\r", "\n")


def _make_json(data: object) -> str:
    """Write JSON without anything that HTML could take for markup."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
