"""``NamingGroup``: a group of commands whose error for an unknown command names the known ones."""

from __future__ import annotations

import click


class NamingGroup(click.Group):
    """A group of commands; an unknown command is answered with the names of all of them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; raises ``click.UsageError`` with the known names when there is none."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"there is no command {args[0]!r}; there are: {known}", ctx)
        return super().resolve_command(ctx, args)
