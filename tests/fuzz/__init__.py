"""Targets for a fuzzer, and the test that feeds them what it has found worth keeping."""
