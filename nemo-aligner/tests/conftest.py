"""Small real things that the tests of this package share."""

import pytest
import torch

from nemo_aligner.selftest.toys import Toys, make_toys


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Toys:
    """A tiny model that knows nothing, digits to sort and digits to repeat."""
    return make_toys(tmp_path_factory.mktemp("toys"), hidden_size=32)
