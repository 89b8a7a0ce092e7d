"""Run the command line as `python -m sipp_cli`."""

import sys

from sipp_cli.main import run

if __name__ == "__main__":
    sys.exit(run())
