"""The kinds of tests that decide claims, one file each, found by their name."""
