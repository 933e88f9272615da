"""The command ``completion``: prints a completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

VARIABLE = "_EXT4WRITER_COMPLETE"
"""The environment variable that click reads when a shell asks for completions."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print a script with which SHELL completes commands, options and file names.

    \b
    bash: ext4writer completion bash > ~/.local/share/bash-completion/completions/ext4writer
    zsh:  ext4writer completion zsh > ~/.zfunc/_ext4writer, with ~/.zfunc in fpath
    fish: ext4writer completion fish > ~/.config/fish/completions/ext4writer.fish
    """
    kind = get_completion_class(shell)
    root = ctx.find_root()
    assert kind is not None
    # click's own method for bash runs a bash to query its version, which may not be the user's.
    source = ShellComplete.source(kind(root.command, {}, root.info_name or "", VARIABLE))
    click.echo(source)
