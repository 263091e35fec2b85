"""The small model and SAE that published numbers are made up from."""

from tests.engine.conftest import rows, small_folder, subject  # noqa: F401
