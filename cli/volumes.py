"""`dr-syncer volumes`: the data of volumes. Each command is a module of its own, loaded when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

# Name → module, the command's name in it, and its line in `--help`, so that help loads nothing.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "init": ("cli.volumes_init", "init", "Make the restic repository."),
    "backup": ("cli.volumes_backup", "backup", "Back up the volumes of the source cluster."),
    "restore": ("cli.volumes_restore", "restore", "Bring volumes back in the DR cluster."),
    "list": ("cli.volumes_list", "list_", "Show what there is of each volume, and how old it is."),
    "verify": ("cli.volumes_verify", "verify", "Check that the data that recovery points name is there and whole."),
    "prune": ("cli.volumes_prune", "prune", "Forget the snapshots that nothing needs, and remove their data."),
}


class VolumesGroup(click.Group):
    """A group whose commands stand in a table and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group("volumes", cls=VolumesGroup, short_help="Back up and restore the data of volumes.")
def volumes() -> None:
    """Back up the data of volumes, and bring it back.

    \b
    Examples:
      dr-syncer volumes init
      dr-syncer volumes backup --dry-run
      dr-syncer volumes backup --namespace shop
      dr-syncer volumes restore --plan
      dr-syncer volumes restore --as-of 2h --namespace shop
      dr-syncer volumes list
      dr-syncer volumes verify
      dr-syncer volumes prune --dry-run
    """
