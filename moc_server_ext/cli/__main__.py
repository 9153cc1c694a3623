"""``python -m moc_server_ext.cli``: the ``moc`` command without its script."""

import sys

from .main import main

sys.exit(main())
