"""Artifacts are made once for all tests of this folder."""

import pytest
from contracts.answering import answering
from contracts.stages import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    with answering() as model:
        yield Workshop(tmp_path_factory.mktemp("workshop"), model)
