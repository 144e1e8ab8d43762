"""The command line: each verb is one call of a public function.

Nothing heavy is imported here; a verb imports what it needs when it runs, so that judging a file
does not wait for torch.
"""

# Imported for the verbs that they add; the order is that of the help.
from uncertain.cli import evaluate, compare, conformal, audit, benchmark, data  # noqa: F401, I001
from uncertain.cli.application import app as app


def main() -> None:
    """Run the command line."""
    app()
