"""The lab's fixtures, for all tests."""

pytest_plugins = ["tests.lab.built", "tests.lab.fixtures"]
