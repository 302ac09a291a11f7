"""Fixtures of tests/lab for all tests."""

pytest_plugins = ["tests.lab.collection_order", "tests.lab.fixtures"]
