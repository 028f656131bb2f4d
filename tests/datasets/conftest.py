import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Real recordings, which are not part of the project: `$EVENTZOO_REALDATA`, or `shared/realdata` beside the repository."""
    folder = Path(os.environ.get("EVENTZOO_REALDATA") or Path(__file__).parents[3] / "shared" / "realdata")
    if not folder.is_dir():
        pytest.skip("no real recordings here: set EVENTZOO_REALDATA")
    return folder
