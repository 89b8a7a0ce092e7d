"""Run the command line as a program: `sipp`, or `python -m sipp_cli`."""

import sys

from sipp_cli.early import expect_interrupts


def main() -> None:
    """Load and run the command line, and end the process with its exit code."""
    expect_interrupts()

    from sipp_cli import ranks
    from sipp_cli.main import run

    code = run()
    ranks.end(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
