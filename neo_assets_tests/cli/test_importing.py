"""What is imported in one go is spared from garbage collection."""

import gc

import pytest

from neo_assets.cli.importing import without_collection


def test_what_is_made_in_the_block_is_never_searched_for_garbage() -> None:
    try:
        with without_collection():
            assert not gc.isenabled()
            made: list[list[int]] = [[]]
        assert gc.isenabled()
        assert not any(one is made for one in gc.get_objects()), "it is frozen"
    finally:
        gc.unfreeze()
    assert any(one is made for one in gc.get_objects())


def test_collection_goes_on_when_an_import_fails() -> None:
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    gc.unfreeze()
    assert gc.isenabled()
