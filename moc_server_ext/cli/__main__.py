"""Where the process of ``moc`` (and of ``python -m moc_server_ext.cli``) begins: before the verbs are imported."""

import sys

_EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the ``moc`` command and give its exit code; Ctrl-C is one line from the first moment on."""
    try:
        from .main import main as run
    except KeyboardInterrupt:
        print("moc: interrupted", file=sys.stderr)
        return _EXIT_INTERRUPTED
    return run()


if __name__ == "__main__":
    sys.exit(main())
