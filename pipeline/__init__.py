"""The steps of the workflow, from folder to folder, and what they stand on."""

import sys

# Of this program: in every record of what was made. Raised with each release, and then in
# pyproject.toml too; what another version made is made again, but for trained networks.
PROGRAM = "particles-without-annotation"
VERSION = "0.1.0"


def _end_quietly(kind, error, traceback, _show=sys.excepthook):
    """Tell of Ctrl-C in a line where nobody else does, such as while Python imports the rest."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        _show(kind, error, traceback)


sys.excepthook = _end_quietly
