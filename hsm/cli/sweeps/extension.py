"""`hsm sweep run --extend`: adds tasks to a sweep that was prepared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hsm.sweeps.draft import SweepDraft
    from hsm.sweeps.project.load import ProjectSettings


def extend_named(
    settings: ProjectSettings, word: str, draft: SweepDraft, *, dry_run: bool, is_last: bool, as_json: bool
) -> str:
    """Add the tasks of a draft that a sweep does not have, or show them.

    Args:
        settings: Of the project.
        word: The sweep.
        draft: All that it is to have.
        dry_run: Show them, write nothing.
        is_last: Nothing else will be printed as a document.
        as_json: Print one.

    Returns:
        The sweep's id.
    """
    from hsm.cli.render.sweeps import show_draft, show_extended
    from hsm.prepared_sweep.document import load_prepared
    from hsm.prepared_sweep.folder import PreparedFolder
    from hsm.sweeps.code.capture import CapturedCode
    from hsm.sweeps.code.snapshot import SnapshotStore
    from hsm.sweeps.extend import extend_sweep, list_new_tasks
    from hsm.sweeps.listing import list_prepared
    from hsm.sweeps.submitted.open_sweep import find_sweep

    name = find_sweep([sweep.name for sweep in list_prepared(settings.outputs)], word)
    folder = PreparedFolder(settings.outputs / name)
    if dry_run:
        first, tasks = list_new_tasks(folder, draft)
        if tasks:
            code = load_prepared(folder).code
            place = SnapshotStore(settings.project).place(code.hash) if code.hash else settings.project
            request = replace(draft.request, name=name)
            shown = replace(draft, request=request, tasks=tasks, code=CapturedCode(code, place))
            show_draft(shown, first=first, as_json=as_json)
        else:
            show_extended(name, 0, as_json=as_json)
        return name
    n_added = extend_sweep(folder, draft)
    if is_last or not as_json:
        show_extended(name, n_added, as_json=as_json)
    return name
