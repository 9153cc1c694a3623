"""Contract suites: what every implementation of a protocol has in common, as tests.

Subclass a suite in a test module and give the fixture that it names; pytest then runs each of its tests::

    class TestMyBlobs(BlobsContract):
        @pytest.fixture
        def blobs(self) -> MyBlobs:
            return MyBlobs()
"""

import pytest

# Failing assertions then show their values, as they do in test modules.
pytest.register_assert_rewrite(
    f"{__name__}.blobs", f"{__name__}.buffers", f"{__name__}.keyvalues", f"{__name__}.targets"
)
