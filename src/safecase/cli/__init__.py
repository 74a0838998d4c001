"""Thin commands: parse, call one function, print.

Takes:  arguments.
Gives:  text or JSON, and an exit code: 0 done, 1 failed, 2 bad input, 3 not supported by the evidence, 4 not verified.
Does not own: anything else. Each command loads its rooms when it is called, so that `safecase --help` is quick.
"""

from importlib import import_module

import click

from safecase import __version__

_COMMANDS = {
    "demo": ("safecase.cli._case", "The whole loop on the embedded model."),
    "new": ("safecase.cli._case", "Start a case."),
    "assess": ("safecase.cli._case", "Compose, run, measure, decide and report in one go."),
    "verify": ("safecase.cli._case", "Recompute and check everything, offline."),
    "import": ("safecase.cli._exchange", "Other tools' logs and transcripts, as evidence."),
    "export": ("safecase.cli._exchange", "Evidence and results as an Inspect log, CSV, Parquet or JSON."),
    "declare": ("safecase.cli._declare", "Check a framework; show its risk map, differences, schema, exercises."),
    "compose": ("safecase.cli._compose", "List, count and sample scenarios."),
    "run": ("safecase.cli._run", "Run trials."),
    "suites": ("safecase.cli._suites", "What a model can do, and whether controls work: run, review, import suites."),
    "measure": ("safecase.cli._measure", "Judgements and estimates; label answers."),
    "decide": ("safecase.cli._decide", "Findings, tiers and a proposal; sign, permit."),
    "report": ("safecase.cli._report", "Write an edition of the report."),
    "serve": ("safecase.cli._serve", "The gateway, under a case's permit; its API keys."),
    "mark": ("safecase.cli._mark", "Mark generated files, and find the marks again."),
    "monitor": ("safecase.cli._monitor", "Watch live traffic; hold its rates against what was promised."),
    "respond": ("safecase.cli._respond", "Reports, incidents, and what is owed by when."),
    "redteam": ("safecase.cli._redteam", "A campaign of people against both arms."),
    "console": ("safecase.cli._console", "The web page where people oversee."),
}


class _Lazy(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = import_module(_COMMANDS[name][0])
        command: click.Command = module.COMMANDS[name]
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, from the table, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="safecase")
def main() -> None:
    """Run a frontier-AI safety framework end to end.

    \b
    Example:
        safecase demo                   assess the embedded model; leaves demo-case/
        safecase new my-case            start a case of your own
        safecase assess my-case         compose, run, measure, decide, report
        safecase verify my-case         recompute every number, offline
    """
