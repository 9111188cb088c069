"""Artifacts are made once for all tests of this folder."""

import pytest
from contracts.stages import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))
