"""The verbs about backups: ``backup create|list|verify|restore`` and ``take-over``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import click

from ..model import BackupProgress, BackupRecord, BackupReport
from .commands import Verb, VerbGroup
from .completion import file_names
from .host import Host
from .outcome import MessageOutcome, TableOutcome, format_size

Result = TypeVar("Result")

backup = VerbGroup(
    "backup", help="Copy everything that is stored to a directory or a bucket, and make a storage of it."
)


@backup.command(
    "create", cls=Verb, example=["moc backup create /mnt/disk/moc --keep 7", "moc backup create s3://bucket/moc"]
)
@click.option(
    "--keep", metavar="COUNT", type=click.IntRange(min=1), help="Keep so many backups, the newest. Without it: all."
)
@click.option("--include-tls-key", is_flag=True, help="Copy the gateway's certificate and key, too.")
@click.option("--adopt", is_flag=True, help="Take over a target that belongs to another instance.")
@click.argument("target", required=False, shell_complete=file_names)
@click.pass_obj
def create(host: Host, target: str | None, keep: int | None, include_tls_key: bool, adopt: bool) -> MessageOutcome:
    """Back everything up while it runs, to a directory or s3://BUCKET/PREFIX; what is there already is not copied.

    Without TARGET it goes where the server is configured to (MocExtension.backup_target). A backup has all blobs,
    buffers, key-values, names and digests of the tokens; never a token, and no machine code.
    """
    backups = host.client.platform.backups
    work = backups.create(target, keep=keep, include_tls_key=include_tls_key, adopt=adopt)
    record = _shown(host, "making a backup", work)
    line = (
        f"backup {record.id}: {record.objects:,} objects, {_size(record)}, of "
        f"which {format_size(record.copied_bytes)} copied"
    )
    return MessageOutcome(line, record.to_json())


@backup.command("list", cls=Verb, example=["moc backup list /mnt/disk/moc"])
@click.argument("target", required=False, shell_complete=file_names)
@click.pass_obj
def list_backups(host: Host, target: str | None) -> TableOutcome:
    """List the backups in TARGET, or in the server's own target; the newest comes first."""
    found = _read(target) if target is not None else host.client.platform.backups.list()
    rows = [
        (
            each.id,
            each.created_at,
            f"{each.objects:,}",
            _size(each),
            each.instance_id,
        )
        for each in found
    ]
    records = {"backups": [each.to_json() for each in found]}
    return TableOutcome(("backup", "made at", "objects", "size", "instance"), rows, records)


@backup.command("verify", cls=Verb, example=["moc backup verify /mnt/disk/moc"])
@click.option("--backup", "backup_id", metavar="ID", help="This one. Without it: the newest.")
@click.argument("target", required=False, shell_complete=file_names)
@click.pass_obj
def verify(host: Host, target: str | None, backup_id: str | None) -> MessageOutcome:
    """Read a backup back, all of it, and say what is damaged; the exit code is 1 then."""
    work = _verified(target, backup_id) if target is not None else host.client.platform.backups.verify(None, backup_id)
    report = _shown(host, "verifying the backup", work)
    lines = [
        f"backup {report.backup.id}: {report.objects:,} objects, {format_size(report.bytes)} read",
        *report.damage,
        "everything is as it was written" if not report.damage else f"{len(report.damage):,} things are damaged",
    ]
    return MessageOutcome("\n".join(lines), report.to_json(), status=int(bool(report.damage)))


@backup.command("restore", cls=Verb, example=["moc backup restore /mnt/disk/moc /srv/moc"])
@click.option("--backup", "backup_id", metavar="ID", help="This one. Without it: the newest.")
@click.argument("target", shell_complete=file_names)
@click.argument("directory", metavar="DIR", shell_complete=file_names)
@click.pass_obj
def restore(host: Host, target: str, directory: str, backup_id: str | None) -> MessageOutcome:
    """Make DIR, which is new or empty, a storage from a backup; it is checked while it is copied.

    It gets an id of its own, lets those in who hold a token of the instance that was backed up, and holds its schedules
    until moc take-over. An interrupted restore can be run again.
    """
    from ..storage.backup.restoring import restore_backup
    from ..storage.backup.steps import in_steps
    from ..storage.targets.opening import open_target

    opened = open_target(target)
    path = Path(directory).expanduser().absolute()
    work = in_steps(lambda progress: restore_backup(opened, path, backup_id, progress=progress))
    record = _shown(host, "restoring", work)
    return MessageOutcome(
        f"restored {record.id} into {directory!r}: moc serve --storage {directory}",
        {"directory": str(path), "backup": record.to_json()},
    )


@click.command("take-over", cls=Verb, example=["moc take-over"])
@click.pass_obj
def take_over(host: Host) -> MessageOutcome:
    """Let the schedules of a restored instance start, once the one that it was restored from is gone."""
    host.client.platform.backups.take_over()
    return MessageOutcome("schedules start from now on", {"schedules_held": False})


def _size(record: BackupRecord) -> str:
    return format_size(record.object_bytes + record.catalog_bytes)


def _read(target: str) -> list[BackupRecord]:
    from ..storage.backup.layout import read_backups
    from ..storage.targets.opening import open_target

    return read_backups(open_target(target))


def _verified(target: str, backup_id: str | None) -> Generator[BackupProgress, None, BackupReport]:
    from ..storage.backup.steps import in_steps
    from ..storage.backup.verifying import verify_backup
    from ..storage.targets.opening import open_target

    opened = open_target(target)
    return in_steps(lambda progress: verify_backup(opened, backup_id, progress=progress))


def _shown(host: Host, label: str, work: Generator[BackupProgress, None, Result]) -> Result:
    with host.progress(label) as progress:
        try:
            while True:
                step = next(work)
                text = f"{step.stage}, {format_size(step.done_bytes)} of {format_size(step.total_bytes)}"
                progress.update(step.done_bytes, step.total_bytes or None, text)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            work.close()
